"""Stage II: ranked diagnoses are rewarded by the place of the first accepted one.

About a minute on a laptop CPU, on drawn lesions, after its predecessor:

skinflow train --config=configs/debug_stage1.py --workdir=runs/debug_stage1
skinflow train --config=configs/debug_stage2.py --workdir=runs/debug_stage2
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """GRPO on the diagnosis task from the model in runs/debug_stage1."""
    return ConfigDict(
        {
            "algorithm": "grpo",
            "batch_size": 8,
            "model": {"init_from": "runs/debug_stage1"},
            "data": {
                "source": "procedural",
                # Other cases than the warm-up's.
                "split": "rl",
                "count": 300,
                "tasks": ("diagnosis",),
                # As in debug_stage1: a model should see images of the size it was trained on.
                "options": {"image_size": 112},
                "max_pixels": 112 * 112,
                "windows": (1,),
                "prompt_lengths": (40,),
                "completion_length": 24,
            },
            "optimizer": {"learning_rate": 3e-4, "warmup_steps": 5, "b2": 0.99},
            "loop": {"steps": 20, "rollouts_every": 5},
            "rl": {
                "group_size": 8,
                "max_tokens": 24,
                "rewards": ("diagnosis",),
                "loss": {"kl_coef": 0.01},
            },
            "evaluation": {"count": 100, "batch_size": 50},
        }
    )
