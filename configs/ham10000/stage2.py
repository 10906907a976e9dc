"""HAM10000, Stage II: GRPO on the diagnoses of lesions whose answers the warm-up did not see."""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

WARM_UP = Path(__file__).with_name("warmup.py")
REWARD = Path(__file__).parents[1] / "rewards" / "first_place.py"


def get_config() -> ConfigDict:
    """From the warm-up's model; the reward is 1 for the right diagnosis in the first place."""
    config = runpy.run_path(str(WARM_UP))["get_config"]()
    config.algorithm = "grpo"
    config.model.init_from = "runs/warmup"
    config.data.split = "rl"
    config.optimizer = {"learning_rate": 1e-4, "warmup_steps": 5, "b2": 0.99}
    config.loop = {"steps": 200, "log_every": 10, "rollouts_every": 50, "checkpoint_every": 100}
    config.rl = {
        "group_size": 8,
        "max_tokens": config.data.completion_length,
        "compactions": 0,
        "rewards": (f"{REWARD}:first_place",),
        "log_kl": True,
    }
    return config
