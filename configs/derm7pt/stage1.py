"""Derm7pt, Stage I: captions of other lesions are rewarded field by field."""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

WARM_UP = Path(__file__).with_name("warmup.py")


def get_config() -> ConfigDict:
    """GRPO from the warm-up's model."""
    config = runpy.run_path(str(WARM_UP))["get_config"]()
    config.algorithm = "grpo"
    config.model.init_from = "runs/warmup"
    config.data.split = "rl"
    config.optimizer = {"learning_rate": 2e-4, "warmup_steps": 5, "b2": 0.99}
    config.loop = {"steps": 150, "log_every": 5, "rollouts_every": 20}
    config.rl = {
        "group_size": 8,
        "max_tokens": config.data.completion_length,
        "rewards": ("caption",),
        "log_kl": True,
    }
    return config
