"""Stage I of the ablation's rows that have one: captions, on other cases than the warm-up's."""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

WARM_UP = Path(__file__).with_name("warmup.py")


def get_config() -> ConfigDict:
    """GRPO on the caption task."""
    config = runpy.run_path(str(WARM_UP))["get_config"]()
    config.algorithm = "grpo"
    config.batch_size = 16
    config.data.split = "rl"
    config.data.count = 4000
    config.data.cases_of_task = {}
    config.data.tasks = ("caption",)
    config.optimizer = {"learning_rate": 1e-4, "warmup_steps": 5, "b2": 0.99}
    config.loop = {"steps": 60, "rollouts_every": 20}
    config.rl = {
        "group_size": 16,
        "max_tokens": config.data.completion_length,
        "temperature": 0.7,
        "compactions": 0,
        "rewards": ("caption",),
        "loss": {"kl_coef": 0.01},
    }
    return config
