"""What a run leaves when a loss or gradient is not finite: enough to see the step again."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from skinflow_jax.checkpoints.run_state import RunCheckpoints, named_leaves
from skinflow_jax.parallel import local_rows
from skinflow_jax.training.state import TrainState


def keep_failure(folder: Path, step: int, state: TrainState, evidence: Any) -> Path:
    """Save the state before `step` (the one that its update left as it was) and its `evidence`.

    `folder`/checkpoints is a run's checkpoint folder, `folder`/batch-<process>.npz has the
    evidence's arrays by name, each process its own rows. Returns `folder`.
    """
    before = dataclasses.replace(state, step=state.step * 0 + step)
    with RunCheckpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(step, before, None, facts={"failed": True})
    arrays = {name: local_rows(x) for name, x in named_leaves(evidence).items()}
    np.savez(_file(folder), **arrays)
    return folder


def read_evidence(folder: Path, like: Any) -> Any:
    """This process's evidence that `keep_failure` saved, in the structure of `like`."""
    with np.load(_file(folder)) as stored:
        arrays = [stored[name] for name in named_leaves(like)]
    return jax.tree.unflatten(jax.tree.structure(like), arrays)


def _file(folder: Path) -> Path:
    return folder / f"batch-{jax.process_index()}.npz"
