"""Warm-up on drawn lesions: about a minute on a laptop CPU, to see that everything works.

skinflow train --config=configs/debug_sft.py --workdir=runs/debug_sft
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """A tiny model from random weights learns both answer formats."""
    return ConfigDict(
        {
            "algorithm": "sft",
            "batch_size": 32,
            "model": {"size": "tiny"},
            "data": {
                "source": "procedural",
                "split": "warmup",
                "count": 300,
                "options": {"image_size": 112},
                # An image of 112 x 112 pixels is one attention window of 16 tokens.
                "max_pixels": 112 * 112,
                "windows": (1,),
                # The shortest that hold the prompts and targets of the tokenizer trained on them.
                "prompt_lengths": (40,),
                "completion_length": 24,
            },
            # Random weights stand a rate that would ruin pretrained ones.
            "optimizer": {
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "warmup_steps": 20,
                "b2": 0.99,
            },
            "loop": {"steps": 80, "log_every": 10},
            "evaluation": {"count": 100, "batch_size": 50},
        }
    )
