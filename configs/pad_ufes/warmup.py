"""PAD-UFES-20, from random weights: warm-up on the captions of a third of the patients.

`python benchmarks/pad_ufes.py` trains and compares the runs of this folder; alone:

skinflow train --config=configs/pad_ufes/warmup.py --config.data.data_root=DIR --workdir=runs/warmup
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """A tiny model learns to say where a lesion is and, where it was measured, how large."""
    return ConfigDict(
        {
            "algorithm": "sft",
            "batch_size": 16,
            "model": {"size": "tiny"},
            "data": {
                "source": "pad_ufes_20",
                "data_root": "pad_ufes_20",
                "split": "warmup",
                # Of the patients, in the order of the names.
                "fractions": {"heldout": 0.3, "rl": 0.35, "warmup": 0.35},
                "tasks": ("caption",),
                "augmentation": ("crop", "flip", "rotate", "brightness"),
                # About 112 x 112 pixels in one or two attention windows.
                "max_pixels": 112 * 112,
                "windows": (1, 2),
                "prompt_lengths": (64,),
                "completion_length": 20,
                "like_sizes": 16,
            },
            # Random weights stand a rate that would ruin pretrained ones.
            "optimizer": {
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "warmup_steps": 20,
                "b2": 0.99,
            },
            "loop": {"steps": 120, "log_every": 5},
            "evaluation": {"count": None, "batch_size": 16, "tasks": ("caption",)},
        }
    )
