"""Stage II of every row of the ablation: diagnoses, and a few captions against forgetting."""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

STAGE_1 = Path(__file__).with_name("stage1.py")


def get_config() -> ConfigDict:
    """GRPO on both tasks."""
    config = runpy.run_path(str(STAGE_1))["get_config"]()
    config.data.tasks = ("caption", "diagnosis")
    config.data.cases_of_task = {"caption": 300}
    config.optimizer.learning_rate = 2e-4
    config.loop.steps = 90
    config.rl.temperature = 0.8
    config.rl.rewards = ("caption", "diagnosis_reciprocal")
    return config
