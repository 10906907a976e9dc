"""The warm-up that every row of the ablation starts from; drawn lesions under clutter."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """SFT of a static tiny model on 500 captions and 250 diagnoses, stopped early."""
    return ConfigDict(
        {
            "algorithm": "sft",
            "batch_size": 32,
            "model": {"size": "tiny"},
            "data": {
                "source": "procedural",
                "split": "warmup",
                "count": 500,
                "cases_of_task": {"diagnosis": 250},
                # Half of all there is of hair, rulers, uneven light and blur; not tuned.
                "options": {"image_size": 112, "clutter": 0.5},
                "max_pixels": 112 * 112,
                "windows": (1,),
                "prompt_lengths": (36,),
                "completion_length": 20,
            },
            "optimizer": {
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "warmup_steps": 20,
                "b2": 0.99,
            },
            "loop": {"steps": 250, "log_every": 10},
            "evaluation": {"count": 600, "batch_size": 50},
        }
    )
