"""A tiny model on a folder of your images, one folder a class: about a minute on a laptop CPU.

skinflow train --config=configs/debug_folder.py --config.data.data_root=DIR --workdir=runs/folder
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Random weights learn to name the class; a fifth of the images is held out."""
    return ConfigDict(
        {
            "algorithm": "sft",
            "batch_size": 8,
            "model": {"size": "tiny"},
            "data": {
                "source": "folder",
                "data_root": "photographs",
                "split": "warmup",
                "fractions": {"warmup": 0.8, "heldout": 0.2},
                "tasks": ("diagnosis",),
                # Of any shape: about 112 x 112 pixels in up to four attention windows.
                "max_pixels": 112 * 112,
                "windows": (1, 2, 4),
                "prompt_lengths": (64,),
                "completion_length": 64,
            },
            # Random weights stand a rate that would ruin pretrained ones.
            "optimizer": {
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "warmup_steps": 20,
                "b2": 0.99,
            },
            "loop": {"steps": 100, "log_every": 10},
            "evaluation": {"count": None, "batch_size": 8, "tasks": ("diagnosis",)},
        }
    )
