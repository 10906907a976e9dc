"""`chaos_run.py STAGE FOLDER [ARGUMENT...]`: a stage of a small two-stage run, by the command line.

Stages: `warmup`, then `stage`, which starts from it and measures a KL to it. Further arguments are
those of `skinflow train`. As there, jax is imported once signals are handled: its callback of the
garbage collector drops what is raised there.
"""

import json
import sys
from pathlib import Path

from shallow import SHALLOW

from skinflow_jax.cli import main
from skinflow_jax.models.config import SIZES

SMALL = {
    "batch_size": 4,
    "data": {
        "count": 24,
        "options": {"image_size": 56},
        "max_pixels": 56 * 56,
        "prompt_lengths": [64],
        "windows": [1],
        "completion_length": 64,
    },
    "optimizer": {"learning_rate": 1e-3, "schedule": "cosine", "warmup_steps": 2},
    "evaluation": {"count": 4, "batch_size": 4},
}
CONFIGS = {
    "warmup": SMALL
    | {"algorithm": "sft", "loop": {"steps": 12, "checkpoint_every": 3, "evaluate_every": 6}},
    "stage": SMALL
    | {
        "algorithm": "grpo",
        "loop": {"steps": 8, "checkpoint_every": 2, "rollouts_every": 3},
        "rl": {
            "group_size": 2,
            "max_tokens": 4,
            "compactions": 0,
            "loss": {"kl_coef": 0.1},
            "num_iterations": 2,
            "rewards": [f"{Path(__file__).with_name('chaos_reward.py')}:letters"],
        },
    },
}

if __name__ == "__main__":
    stage, folder, *arguments = sys.argv[1:]
    config = dict(CONFIGS[stage])
    if stage == "stage":
        config["model"] = {"init_from": f"{folder}/warmup"}
    path = Path(folder) / f"{stage}.json"
    path.write_text(json.dumps(config))
    SIZES["tiny"] = SHALLOW
    sys.exit(main(["train", f"--config={path}", f"--workdir={folder}/{stage}", *arguments]))
