"""Rows of a training stack, with questions and answers of their own: a minute on a laptop CPU.

skinflow train --config=debug_rows --config.data.data_root=DIR --workdir=runs/debug_rows
skinflow train --config=debug_rows_rl --config.data.data_root=DIR --workdir=runs/debug_rows_rl
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Random weights learn the form of the answers from the warm-up's share of the rows."""
    return ConfigDict(
        {
            "algorithm": "sft",
            "batch_size": 4,
            "model": {"size": "tiny"},
            "data": {
                "source": "jsonl",
                "data_root": "rows",
                "split": "warmup",
                "tasks": ("question",),
                # Of any shape: about 112 x 112 pixels in up to four attention windows.
                "max_pixels": 112 * 112,
                "windows": (1, 2, 4),
                # A question with its images, and an answer, in tokens; longer ones are left out.
                "prompt_lengths": (64, 128, 256),
                "completion_length": 64,
            },
            # Random weights stand a rate that would ruin pretrained ones.
            "optimizer": {
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "warmup_steps": 20,
                "b2": 0.99,
            },
            "loop": {"steps": 40, "log_every": 10},
            "evaluation": {"count": None, "batch_size": 8, "tasks": ("question",)},
        }
    )
