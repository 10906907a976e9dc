"""PAD-UFES-20, Stage I: captions of other patients are rewarded field by field."""

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
    config.loop = {"steps": 80, "log_every": 5, "rollouts_every": 20}
    config.rl = {
        "group_size": 16,
        "max_tokens": config.data.completion_length,
        "compactions": 0,
        "rewards": ("caption",),
        "log_kl": True,
    }
    return config
