"""Stage II: ranked diagnoses are rewarded by the place of the first accepted one.

About a minute on a laptop CPU. It goes on from debug_stage1:

skinflow train --config=configs/debug_stage1.py --workdir=runs/debug_stage1
skinflow train --config=configs/debug_stage2.py --workdir=runs/debug_stage2
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

STAGE_1 = Path(__file__).with_name("debug_stage1.py")


def get_config() -> ConfigDict:
    """GRPO on the diagnosis task from the model in runs/debug_stage1."""
    config = runpy.run_path(str(STAGE_1))["get_config"]()
    config.model.init_from = "runs/debug_stage1"
    config.data.tasks = ("diagnosis",)
    config.rl.rewards = ("diagnosis",)
    return config
