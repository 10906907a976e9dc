"""Stage I: captions are rewarded field by field.

About a minute on a laptop CPU, on drawn lesions, after its predecessor:

skinflow train --config=configs/debug_sft.py --workdir=runs/debug_sft
skinflow train --config=configs/debug_stage1.py --workdir=runs/debug_stage1
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """GRPO on the caption task from the model in runs/debug_sft."""
    return ConfigDict(
        {
            "algorithm": "grpo",
            "batch_size": 8,
            "model": {"init_from": "runs/debug_sft"},
            "data": {
                "source": "procedural",
                # Other cases than the warm-up's.
                "split": "rl",
                "count": 300,
                "tasks": ("caption",),
                # As in debug_sft: a model should see images of the size it was trained on.
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
                "compactions": 0,
                "rewards": ("caption",),
                "loss": {"kl_coef": 0.01},
            },
            "evaluation": {"count": 100, "batch_size": 50},
        }
    )
