"""A row of the ablation: static and as large as with DVE, both stages."""

from ml_collections import ConfigDict

# What DVE adds to the tiny tower, over three maps of four blocks; a test compares the sizes.
EXTRA_WIDTH = 51


def get_config() -> ConfigDict:
    """Stages after the shared warm-up, and what the first of them does to the model."""
    return ConfigDict(
        {
            "description": "static and as large as with DVE, both stages",
            "stages": ("stage1", "stage2"),
            "model": {"extra_width": EXTRA_WIDTH},
            "against": ("stage1_only",),
        }
    )
