"""Stage II at 7B: six ranked diagnoses, rewarded by the place of the first accepted one.

After skinflow_7b_stage1:

skinflow train --config=configs/skinflow_7b_stage2.py --workdir=runs/skinflow_7b_stage2
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

STAGE_1 = Path(__file__).with_name("skinflow_7b_stage1.py")


def get_config() -> ConfigDict:
    """Stage I's settings, on diagnoses, from its model, at half its learning rate."""
    config = runpy.run_path(str(STAGE_1))["get_config"]()
    config.model.init_from = "runs/skinflow_7b_stage1"
    config.data.tasks = ("diagnosis",)
    # As in the demo, where they were chosen: 1/p for the first accepted rank p, and a first
    # diagnosis that overlooks what is dangerous, or says nothing, costs half of what the right one
    # earns. A guess at this size.
    config.rl.rewards = ("diagnosis_reciprocal",)
    config.rl.safety_penalty = 0.5
    config.optimizer.learning_rate = 5e-7  # third-party notes of the paper's full text
    return config
