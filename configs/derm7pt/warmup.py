"""Derm7pt, from random weights: warm-up on the seven-point criteria of lesions.

For who has the files (derm.cs.sfu.ca; research only). A lesion is a clinical and a dermoscopic
image in one prompt.

skinflow train --config=configs/derm7pt/warmup.py --config.data.data_root=DIR --workdir=runs/warmup
skinflow train --config=configs/derm7pt/stage1.py --config.data.data_root=DIR --workdir=runs/stage1
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """A tiny model learns the captions of a third of the lesions."""
    return ConfigDict(
        {
            "algorithm": "sft",
            "batch_size": 16,
            "model": {"size": "tiny"},
            "data": {
                "source": "derm7pt",
                "data_root": "derm7pt",
                # The seven criteria, as `dermoscopic_structures`.
                "options": {"criteria": True},
                "caption_schema": "dermoscopy",
                "split": "warmup",
                # Of the lesions, in the order of the names.
                "fractions": {"heldout": 0.2, "rl": 0.5, "warmup": 0.3},
                "tasks": ("caption",),
                "augmentation": ("crop", "flip", "brightness"),
                # Photographs of 768 x 512 become 168 x 112: two attention windows each.
                "max_pixels": 140 * 140,
                "windows": (1, 2, 4),
                "prompt_lengths": (64, 96, 128, 192),
                "completion_length": 96,
            },
            # Random weights stand a rate that would ruin pretrained ones.
            "optimizer": {
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "warmup_steps": 20,
                "b2": 0.99,
            },
            "loop": {"steps": 300, "log_every": 10},
            "evaluation": {"count": None, "batch_size": 16, "tasks": ("caption",)},
        }
    )
