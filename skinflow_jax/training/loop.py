"""The loop that `sft` and `grpo` share: batches in, steps, what is written and saved, resume."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import jax
import numpy as np

from skinflow_jax.errors import RunError
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.training.progress import Progress
from skinflow_jax.training.sinks import RunWriter
from skinflow_jax.training.state import TrainState
from skinflow_jax.typed_fields import Whole, check_fields


@dataclass(frozen=True)
class StepResult:
    """What a learner's step gives the loop.

    `inputs`: the prompts learned from. `evidence`: arrays from which, with the state before it,
    the update can be made again; of several updates in a step the one that broke.
    `rollouts`: one object a completion, with the text and its rewards; empty for `sft`.
    `images`: `[N, H, W, 3]` uint8 of the first prompts, or None.
    """

    state: TrainState
    metrics: dict[str, Any]
    inputs: ModelInputs
    evidence: Any
    rollouts: list[dict] = field(default_factory=list)
    images: np.ndarray | None = None


class Learner(Protocol):
    """An algorithm: turns batches into the next state."""

    def warm_up(self, state: TrainState, shapes: Iterable[ModelInputs]) -> dict[str, int]:
        """Compile for prompts of these shapes; temporary bytes on a device by program."""
        ...

    def step(self, state: TrainState, batches: Iterator[Any], step: int) -> StepResult:
        """One step of the loop, on as many batches as it takes; `step` counts from 0.

        Where the loss or gradient of an update is not finite, the new state is the one before it
        but for its number; `optimizer_steps` says how many of a step's updates were taken.
        """
        ...


@dataclass(frozen=True)
class LoopConfig:
    """How long to run, and how often to write; counts are in steps, 0 means never.

    What is due now and then is also due after the last step. The last step is always saved.
    `rollout_groups`: groups whose completions are written at every step; every `rollouts_every`
    steps all of them are, with an image of the prompts.
    """

    steps: Annotated[int, Whole(1)]
    log_every: Annotated[int, Whole(0)] = 1
    rollouts_every: Annotated[int, Whole(0)] = 10
    rollout_groups: Annotated[int, Whole(0)] = 2
    checkpoint_every: Annotated[int, Whole(0)] = 0
    evaluate_every: Annotated[int, Whole(0)] = 0

    def __post_init__(self):
        check_fields(self, "loop.")


def run_loop(
    learner: Learner,
    state: TrainState,
    batches: Iterator[Any],
    config: LoopConfig,
    *,
    writer: RunWriter,
    schedule: Callable[[int], float],
    title: str,
    save: Callable[[int, TrainState], None] | None = None,
    evaluate: Callable[[int, TrainState], dict[str, float]] | None = None,
    probe: Callable[[TrainState, ModelInputs], dict[str, float]] | None = None,
    keep_failure: Callable[[int, StepResult], Path] | None = None,
) -> TrainState:
    """Run from `state.step` to `config.steps`.

    `evaluate` gives figures that join the step's metrics as `eval/…`; `probe`, called as often as
    rollouts are written, looks at the new state on the step's prompts. A loss or gradient that is
    not finite stops the run with a RunError that names the step and the folder in which
    `keep_failure` put what it takes to see it again.
    """
    start = int(state.step)
    with Progress(title, total=config.steps, start=start) as progress:
        for step in range(start, config.steps):
            began = time.perf_counter()
            result = learner.step(state, batches, step)
            state, done = result.state, step + 1
            due = functools.partial(_due, done, last=done == config.steps)
            metrics = {name: float(value) for name, value in result.metrics.items()}
            _check_finite(metrics, step, result, keep_failure)
            metrics |= {
                "learning_rate": float(schedule(step)),
                "step_time": time.perf_counter() - began,
            }
            evaluated = evaluate is not None and due(config.evaluate_every)
            if evaluated:
                figures = evaluate(done, state)
                metrics |= {f"eval/{name}": value for name, value in figures.items()}
            probed = probe is not None and due(config.rollouts_every)
            if probed:
                metrics |= probe(state, result.inputs)
            # Before the checkpoint: a run that is resumed from it has the line of its step.
            if evaluated or probed or due(config.log_every):
                writer.scalars(done, metrics)
            every_group = due(config.rollouts_every)
            if result.rollouts and (every_group or config.rollout_groups):
                most = None if every_group else config.rollout_groups
                writer.rollouts(done, result.rollouts, most_groups=most)
            if result.images is not None and every_group:
                writer.images(done, "prompts", result.images)
            if save is not None and (done == config.steps or due(config.checkpoint_every)):
                save(done, state)
            progress.advance(metrics)
    jax.block_until_ready(state)
    return state


def _due(step: int, every: int, *, last: bool) -> bool:
    return every > 0 and (last or step % every == 0)


def _check_finite(metrics: dict[str, float], step: int, result: StepResult, keep) -> None:
    broken = [n for n in ("loss", "grad_norm") if not np.isfinite(metrics.get(n, 0.0))]
    if broken:
        kept = f"; state and batch before it are in {keep(step, result)}" if keep else ""
        taken = int(metrics.get("optimizer_steps", 0))
        update = f", after {taken} of its optimizer steps" if taken else ""
        raise RunError(
            f"step {step + 1}{update}: {broken[0]} is {metrics[broken[0]]}{kept}. An earlier "
            "checkpoint is untouched: resume from it, or start again, with a lower "
            "optimizer.learning_rate or optimizer.clip_norm"
        )
