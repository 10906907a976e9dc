"""The loop that `sft` and `grpo` share: batches in, steps, what is written and saved, resume."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import jax
import numpy as np

from skinflow_jax.errors import ConfigError, RunError
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.parallel.agreement import gather
from skinflow_jax.training.progress import Progress
from skinflow_jax.training.sinks import Findings, RunWriter
from skinflow_jax.training.state import TrainState
from skinflow_jax.typed_fields import Text, Whole, check_fields


@dataclass(frozen=True)
class StepResult:
    """What a learner's step gives the loop.

    `inputs`: the prompts learned from. `evidence`: arrays from which, with the state before it,
    the update can be repeated; of several updates in a step the one that broke.
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
    """An algorithm: turns batches into the next state.

    `stop` is set by the run: a step of several phases asks it between them, in all processes, and
    raises `Stopped` where it says so.
    """

    stop: Callable[[], bool]

    def warm_up(self, state: TrainState, shapes: Iterable[ModelInputs]) -> dict[str, int]:
        """Compile for prompts of these shapes; temporary bytes on a device by program."""
        ...

    def step(self, state: TrainState, batches: Iterator[Any], step: int) -> StepResult:
        """One step of the loop, on as many batches as it takes; `step` counts from 0.

        Where the loss or gradient of an update is not finite, the new state is the one before it
        but for its number; `optimizer_steps` says how many of a step's updates were taken.
        """
        ...


class Stopped(Exception):
    """A step left before its update: nothing has changed but the place in the data."""


@dataclass(frozen=True)
class LoopConfig:
    """How long to run, and how often to write; counts are in steps, 0 means never.

    What is due now and then is also due after the last step. The last step is always saved.
    `rollout_groups`: groups whose completions are written at every step; every `rollouts_every`
    steps all of them are, with an image of the prompts. Of the checkpoints the `keep_latest` newest
    stay, those of steps that `keep_every` divides, and the `keep_best` with the highest (or lowest)
    `best_metric` among those saved in a step that has it.
    """

    steps: Annotated[int, Whole(1)]
    log_every: Annotated[int, Whole(0)] = 1
    rollouts_every: Annotated[int, Whole(0)] = 10
    rollout_groups: Annotated[int, Whole(0)] = 2
    checkpoint_every: Annotated[int, Whole(0)] = 50
    evaluate_every: Annotated[int, Whole(0)] = 0
    keep_latest: Annotated[int, Whole(1)] = 2
    keep_every: Annotated[int, Whole(0)] = 0
    keep_best: Annotated[int, Whole(0)] = 0
    best_metric: Annotated[str, Text()] | None = None
    best_is_max: bool = True

    def __post_init__(self):
        check_fields(self, "loop.")
        if self.keep_best and self.best_metric is None:
            raise ConfigError(
                f"loop.keep_best={self.keep_best} needs loop.best_metric: name a metric of "
                "metrics.jsonl such as reward or eval/Top-1"
            )


def run_loop(
    learner: Learner,
    state: TrainState,
    batches: Iterator[Any],
    config: LoopConfig,
    *,
    writer: RunWriter,
    schedule: Callable[[TrainState], float],
    title: str,
    save: Callable[[int, TrainState, dict[str, float], int], None] | None = None,
    evaluate: Callable[[int, TrainState], Findings] | None = None,
    probe: Callable[[TrainState, ModelInputs], Findings] | None = None,
    keep_failure: Callable[[int, StepResult], Path] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TrainState:
    """Run from `state.step` to `config.steps`, or until `stop`.

    Args:
      learner: the algorithm.
      state: where to begin.
      batches: as the learner takes them.
      config: how long, and how often what is written.
      writer: of metrics, rollouts and images.
      schedule: the learning rate that the next update of a state takes.
      title: what the progress bar says.
      save: given (steps done, state, metrics, examples taken) when a checkpoint is due.
      evaluate: gives findings whose figures join the step's metrics as `eval/…`.
      probe: looks at the new state on the step's prompts, as often as rollouts are written.
      keep_failure: puts what it takes to see a broken step again into the folder it returns.
      stop: asked after each step; when true the state is saved and returned. A learner may ask too,
        within a step, and raise `Stopped`: then the state before the step is.

    Raises:
      RunError: a loss or gradient is not finite; names the step and the folder of `keep_failure`.
    """
    hooks = _Hooks(learner, config, writer, schedule, save, evaluate, probe, keep_failure, stop)
    with Progress(title, total=config.steps, start=int(state.step)) as progress:
        for step in range(int(state.step), config.steps):
            # Nothing of a step but the state outlives it: its batch would stay on the devices.
            state, metrics, stopped = hooks.step(state, batches, step)
            if stopped and not metrics:
                break  # within the step
            progress.advance(metrics)
            if stopped:
                break
    jax.block_until_ready(state)
    return state


@dataclass(frozen=True)
class _Hooks:
    """What a step is made with, and what happens after it; see `run_loop`."""

    learner: Learner
    config: LoopConfig
    writer: RunWriter
    schedule: Callable[[TrainState], float]
    save: Callable[[int, TrainState, dict[str, float], int], None] | None
    evaluate: Callable[[int, TrainState], Findings] | None
    probe: Callable[[TrainState, ModelInputs], Findings] | None
    keep_failure: Callable[[int, StepResult], Path] | None
    stop: Callable[[], bool] | None

    def step(
        self, state: TrainState, batches: Iterator[Any], step: int
    ) -> tuple[TrainState, dict[str, float], bool]:
        """One step, written and, where it is due, saved; the last is whether to stop."""
        began, rate = time.perf_counter(), float(self.schedule(state))
        before, done = _taken(batches), step + 1
        try:
            result = self.learner.step(state, batches, step)
        except Stopped:
            if self.save is not None:
                self.save(step, state, {}, before)
            return state, {}, True
        metrics = {name: float(value) for name, value in result.metrics.items()}
        _check_finite(metrics, step, result, self.keep_failure)
        metrics |= {"learning_rate": rate, "step_time": time.perf_counter() - began}
        metrics |= self._write(done, result, metrics)
        stopped = self.stop is not None and self.stop()
        due = stopped or done == self.config.steps or self._due(done, self.config.checkpoint_every)
        if self.save is not None and due:
            self.save(done, result.state, metrics, _taken(batches))
        return result.state, metrics, stopped

    def _write(self, done: int, result: StepResult, metrics: dict[str, float]) -> dict[str, float]:
        """Write what is due, before the checkpoint: a run resumed from it has its step's line.

        Returns the figures that evaluation and probe add.
        """
        config, added = self.config, {}
        evaluated = self.evaluate is not None and self._due(done, config.evaluate_every)
        if evaluated:
            found = self.evaluate(done, result.state)
            added |= {f"eval/{name}": value for name, value in found.figures.items()}
            self.writer.findings(done, found)
        every_group = self._due(done, config.rollouts_every)
        probed = self.probe is not None and every_group
        if probed:
            found = self.probe(result.state, result.inputs)
            added |= found.figures
            self.writer.findings(done, found)
        if evaluated or probed or self._due(done, config.log_every):
            self.writer.scalars(done, metrics | added)
        if result.rollouts and every_group:
            rows = itertools.chain.from_iterable(gather(result.rollouts))
            self.writer.rollouts(done, list(rows))
        elif result.rollouts and config.rollout_groups:
            self.writer.rollouts(done, result.rollouts, most_groups=config.rollout_groups)
        if result.images is not None and every_group:
            self.writer.images(done, "prompts", result.images)
        return added

    def _due(self, step: int, every: int) -> bool:
        """What is due now and then is also due after the last step."""
        return every > 0 and (step == self.config.steps or step % every == 0)


def _taken(batches: Iterator[Any]) -> int:
    """How far the data has been used, where the batches know it."""
    return getattr(batches, "examples_taken", 0)


def _check_finite(metrics: dict[str, float], step: int, result: StepResult, keep) -> None:
    broken = [n for n in ("loss", "grad_norm") if not np.isfinite(metrics.get(n, 0.0))]
    if broken:
        kept = f"; state and batch before it are in {keep(step, result)}" if keep else ""
        taken = int(metrics.get("optimizer_steps", 0))
        update = f", after {taken} of its optimizer steps" if taken else ""
        raise RunError(
            f"step {step + 1}{update}: {broken[0]} is {metrics[broken[0]]}{kept}. Go on with a "
            "lower optimizer.learning_rate or optimizer.clip_norm"
        )
