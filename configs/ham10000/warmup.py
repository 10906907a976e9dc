"""HAM10000, from random weights: warm-up on the labels of a fifth of the lesions.

`python benchmarks/ham10000.py` trains and compares the three runs of this folder; alone:

skinflow train --config=configs/ham10000/warmup.py --config.data.data_root=DIR --workdir=runs/warmup
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """A tiny model learns the answer's format and a first idea of seven classes."""
    return ConfigDict(
        {
            "algorithm": "sft",
            "batch_size": 32,
            "model": {"size": "tiny"},
            "data": {
                "source": "ham10000",
                "data_root": "ham10000",
                "split": "warmup",
                # Of the lesions, in the order of the names. Settings were chosen on dev.
                "fractions": {"dev": 0.1, "heldout": 0.2, "rl": 0.5, "warmup": 0.2},
                "tasks": ("diagnosis",),
                # Two thirds are naevi, one in ninety a dermatofibroma.
                "balance": "class",
                "augmentation": ("flip", "rotate90", "brightness"),
                # 112 x 84 pixels, either way up: one attention window, one shape of batches.
                "max_pixels": 112 * 112,
                "windows": (1,),
                # The shortest that hold prompt and answer of the tokenizer trained on them.
                "prompt_lengths": (36,),
                "completion_length": 10,
            },
            # Random weights stand a rate that would ruin pretrained ones.
            "optimizer": {
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "warmup_steps": 20,
                "b2": 0.99,
            },
            "loop": {"steps": 500, "log_every": 10, "checkpoint_every": 100},
            "evaluation": {"count": None, "batch_size": 64, "tasks": ("diagnosis",)},
        }
    )
