"""Tells what a run is doing, so that a test can end it there."""

import contextlib
import functools
import time
from collections.abc import Iterator
from pathlib import Path

_SAMPLING = ("vision_prefill", "decode")


def log_phases(folder: str) -> None:
    """Each phase of this process adds a line to its file in `folder`: name, seconds, seconds."""
    from skinflow_jax.checkpoints.run_state import RunCheckpoints
    from skinflow_jax.rl.learner import PhaseClock
    from skinflow_jax.runs import evaluate
    from skinflow_jax.training.supervised import SupervisedLearner

    clock = PhaseClock.__call__

    def logged_clock(self, phase: str):
        name = "sampling" if phase in _SAMPLING else phase
        stack = contextlib.ExitStack()
        stack.enter_context(_logged(folder, name))
        stack.enter_context(clock(self, phase))
        return stack

    PhaseClock.__call__ = logged_clock
    for owner, name, phase in (
        (SupervisedLearner, "step", "update"),
        (evaluate, "evaluate_policy", "evaluation"),
        (RunCheckpoints, "save", "saving"),
    ):
        setattr(owner, name, _wrapped(getattr(owner, name), folder, phase))


def _wrapped(original, folder: str, phase: str):
    @functools.wraps(original)
    def logged(*arguments, **options):
        with _logged(folder, phase):
            return original(*arguments, **options)

    return logged


@contextlib.contextmanager
def _logged(folder: str, phase: str) -> Iterator[None]:
    import jax

    with (Path(folder) / f"{jax.process_index()}").open("a", buffering=1) as file:
        began = time.monotonic()
        print("begin", phase, file=file)
        yield
        print("end", phase, time.monotonic() - began, file=file)


def begun(folder: Path, process: int, phase: str) -> int:
    """How often a process has begun a phase."""
    return sum(line[:2] == ["begin", phase] for line in _lines(folder, process))


def length(folder: Path, process: int, phase: str) -> float:
    """Mean seconds of a phase of a process."""
    found = [float(line[2]) for line in _lines(folder, process) if line[:2] == ["end", phase]]
    return sum(found) / len(found)


def _lines(folder: Path, process: int) -> list[list[str]]:
    path = folder / f"{process}"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []
