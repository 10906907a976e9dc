"""HAM10000, the comparison: supervised training alone, on all labels that the two stages have."""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

WARM_UP = Path(__file__).with_name("warmup.py")


def get_config() -> ConfigDict:
    """As the warm-up, on its lesions and Stage II's together, for longer."""
    config = runpy.run_path(str(WARM_UP))["get_config"]()
    # The last of the splits takes what the last two take there: nobody else moves.
    config.data.split = "training"
    config.data.fractions = {"dev": 0.1, "heldout": 0.2, "training": 0.7}
    config.loop.steps = 1000
    return config
