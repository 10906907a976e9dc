"""GRPO on rows of a training stack, by a reward of yours, from the model in runs/debug_rows.

skinflow train --config=debug_rows_rl --config.data.data_root=DIR --workdir=runs/debug_rows_rl \
    --config.rl.rewards="('rewards.py:exact',)"
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

WARM_UP = Path(__file__).with_name("debug_rows.py")


def get_config() -> ConfigDict:
    """Rewards an answer that equals the row's, until another reward is named."""
    config = runpy.run_path(str(WARM_UP))["get_config"]()
    config.algorithm = "grpo"
    config.model.init_from = "runs/debug_rows"
    config.data.split = "rl"
    config.optimizer = {"learning_rate": 1e-4, "warmup_steps": 5, "b2": 0.99}
    config.loop = {"steps": 30, "log_every": 1, "rollouts_every": 10}
    config.rl = {"group_size": 8, "max_tokens": 64, "rewards": ("question",)}
    return config
