"""Stage II by adapters, with a reward in a file, dynamic sampling and two updates a rollout.

About a minute on a laptop CPU, from the project's root, after debug_stage1 (docs/grpo.md says what
the settings do):

skinflow train --config=configs/debug_lora.py --workdir=runs/debug_lora
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

STAGE_2 = Path(__file__).with_name("debug_stage2.py")
REWARD = Path(__file__).with_name("rewards") / "full_list.py"


def get_config() -> ConfigDict:
    """Stage II's settings, but for what is named above."""
    config = runpy.run_path(str(STAGE_2))["get_config"]()
    config.model.lora = ConfigDict({"rank": 8, "alpha": 16.0, "language": True, "vision": True})
    # Adapters start from nothing and stand a higher rate than whole weights.
    config.optimizer.learning_rate = 2e-3
    config.rl.rewards = ("diagnosis", f"{REWARD}:full_list")
    config.rl.reward_weights = (1.0, 0.2)
    config.rl.max_refills = 1
    config.rl.mini_batches = 2
    return config
