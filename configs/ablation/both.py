"""A row of the ablation: DVE, both stages: SkinFlow."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Stages after the shared warm-up, and what the first of them does to the model."""
    return ConfigDict(
        {
            "description": "DVE, both stages: SkinFlow",
            "stages": ("stage1", "stage2"),
            "model": {"dve": {"groups": 64}},
            "against": ("stage1_only", "static_wide"),
        }
    )
