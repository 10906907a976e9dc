"""Warm-up of Qwen2.5-VL-7B on real photographs: teaches the two answer formats, nothing more.

For 16 chips; with n times as many divide micro_batches by n. Fetch the model first, then:

skinflow import-hf --model=Qwen2.5-VL-7B-Instruct --workdir=runs/qwen2_5_vl_7b
skinflow train --config=configs/skinflow_7b_warmup.py --workdir=runs/skinflow_7b_warmup

SkinFlow (arXiv 2601.09136) publishes no code; it starts from Qwen2.5-VL-7B-Instruct according to
third-party reading notes. A warm-up is our choice: Stage I needs answers that parse.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Supervised fine-tuning of the whole model, the vision tower too."""
    return ConfigDict(
        {
            "algorithm": "sft",
            # A guess; one micro-batch is one case for each four of 16 chips.
            "batch_size": 64,
            "micro_batches": 16,
            "model": {
                "init_from": "runs/qwen2_5_vl_7b",
                # Activations; the weights being trained stay in float32.
                "dtype": "bfloat16",
                "remat": "full",
            },
            "data": {
                # The one real data set that is built in; the paper's 5,000 labelled images (notes)
                # are not public.
                "source": "pad_ufes_20",
                "data_root": "data/pad_ufes_20",
                "split": "warmup",
                # 900 image tokens of 28 x 28 pixels leave room for the words in the 1,024 tokens
                # of the public example. The split of the two is a guess.
                "max_pixels": 900 * 28 * 28,
                "prompt_lengths": (1024,),
                # Windows of 112 x 112 pixels: 64 hold a square of that budget, 80 a long one.
                "windows": (64, 80),
                # The example has 2,048 for answers that think aloud; ours are one JSON object, so
                # 512 is a guess on the safe side.
                "completion_length": 512,
            },
            "optimizer": {
                "learning_rate": 1e-5,  # a guess
                "schedule": "cosine",  # a guess
                "warmup_steps": 10,  # a guess
                "b1": 0.9,
                "b2": 0.999,
                "weight_decay": 0.01,
                "clip_norm": 1.0,
            },
            # A guess: watch the held-out figures and stop by them.
            "loop": {
                "steps": 60,
                "checkpoint_every": 20,
                "evaluate_every": 0,
            },
            # All of the held-out split.
            "evaluation": {"count": None, "batch_size": 64},
            # As in the stages that follow.
            "mesh": {"data": -1, "fsdp": 4, "tensor": 4},
        }
    )
