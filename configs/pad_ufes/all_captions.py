"""PAD-UFES-20, the comparison: supervised training alone, on the captions of both stages."""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

WARM_UP = Path(__file__).with_name("warmup.py")


def get_config() -> ConfigDict:
    """As the warm-up, on its patients and Stage I's together, for longer."""
    config = runpy.run_path(str(WARM_UP))["get_config"]()
    # The last of the splits takes what the last two take there: nobody else moves.
    config.data.split = "training"
    config.data.fractions = {"heldout": 0.3, "training": 0.7}
    config.loop.steps = 200
    return config
