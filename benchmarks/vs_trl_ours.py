"""Our worker of `vs_trl.py`: one GRPO step for each line on standard input.

python benchmarks/vs_trl_ours.py WORKDIR SIDE STEPS
"""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import vs_trl_shared
from small_policy import batches, make_learner
from vs_trl_shared import IMAGES, MODEL, PHASES, Driver, product_rate

from skinflow_jax.runs.opening import open_checkpoint
from skinflow_jax.training.state import create_state


def main() -> None:
    """Answer each line with the seconds of a step."""
    driver = Driver()
    workdir, side, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    policy = open_checkpoint(workdir / MODEL)
    learner, optimizer, _ = make_learner(policy, [f"{vs_trl_shared.__file__}:length_digit"])
    state = create_state(policy.model, optimizer)
    stream = batches(policy, np.load(workdir / IMAGES.format(side=side)))
    prompt_tokens = int(next(stream).inputs.token_mask[0].sum())
    multiply, square = jax.jit(lambda x: x @ x), jnp.ones((2048, 2048), jnp.float32)
    driver.answer(
        versions={name: version(name) for name in ("jax", "flax", "optax")},
        product=product_rate(lambda: multiply(square).block_until_ready()),
    )
    for step in range(steps):
        driver.wait()
        began = time.perf_counter()
        result = learner.step(state, stream, step)
        state = jax.block_until_ready(result.state)
        whole = time.perf_counter() - began
        metrics = result.metrics
        driver.answer(
            seconds={phase: float(metrics[f"time/{phase}"]) for phase in PHASES} | {"whole": whole},
            lengths=[float(metrics[f"completions/{end}_length"]) for end in ("min", "max")],
            completions=len(result.rollouts),
            prompt_tokens=prompt_tokens,
            reward_std=float(metrics["reward_std"]),
        )


if __name__ == "__main__":
    main()
