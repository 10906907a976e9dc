"""A warm-up, Stage II with all its options, and its evaluation; for test_runs.py.

Run as `python run_on_mesh.py OUT START FSDP TENSOR`, with so many CPU devices and tests/ on its
path. Stage II goes on from the warm-up in folder START.
"""

import sys
from pathlib import Path

from random_model import SHALLOW

from skinflow_jax.config import DataConfig, EvaluationConfig, ModelChoice, RunConfig
from skinflow_jax.models.config import SIZES, LoraConfig
from skinflow_jax.parallel import MeshConfig
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.rl.rewards import REWARDS
from skinflow_jax.runs.cases import heldout_cases
from skinflow_jax.runs.evaluate import evaluate, evaluate_policy
from skinflow_jax.runs.train import train
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig


def main(out: Path, start: Path, fsdp: int, tensor: int) -> None:
    SIZES["tiny"] = SHALLOW
    # By its first letter, so that groups differ and some do not.
    REWARDS["diagnosis"] = lambda texts, _: [float(text[:1] < "h") for text in texts]
    common = {
        "batch_size": 8,
        "data": DataConfig(
            count=48,
            tasks=("diagnosis",),
            options={"image_size": 56},
            max_pixels=56 * 56,
            prompt_lengths=(64,),
            windows=(1,),
            completion_length=64,
        ),
        "evaluation": EvaluationConfig(count=8, batch_size=5, tasks=("diagnosis",)),
        "mesh": MeshConfig(fsdp=fsdp, tensor=tensor),
    }
    warm_up = RunConfig(
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=5),
        loop=LoopConfig(steps=30),
        micro_batches=2,
        **common,
    )
    train(warm_up, out / "warmup")
    stage = RunConfig(
        algorithm="grpo",
        model=ModelChoice(init_from=str(start / "warmup"), lora=LoraConfig(rank=2)),
        optimizer=OptimizerConfig(learning_rate=1e-3),
        loop=LoopConfig(steps=3, evaluate_every=3),
        rl=GrpoConfig(
            group_size=4,
            max_tokens=8,
            rewards=("diagnosis",),
            overlong_cache=2,
            mini_batches=2,
            max_refills=2,
            loss=PolicyLossConfig(kl_coef=0.01),
        ),
        **common,
    )
    policy = train(stage, out / "stage")
    evaluate(stage, out / "stage", out / "opened")
    heldout, floor = heldout_cases(stage, out / "stage" / "records")
    evaluate_policy(policy, stage, heldout, floor, out / "trained")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
