"""A row of the ablation: static, Stage II alone."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Stages after the shared warm-up, and what the first of them does to the model."""
    return ConfigDict(
        {
            "description": "static, Stage II alone",
            "stages": ("stage2",),
        }
    )
