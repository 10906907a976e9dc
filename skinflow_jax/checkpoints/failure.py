"""What a run leaves when a loss or gradient is not finite: enough to see the step again."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from skinflow_jax.checkpoints.run_state import RunCheckpoints, named_leaves
from skinflow_jax.parallel import local_rows
from skinflow_jax.storage.paths import remove_tree


def keep_failure(folder: Path, step: int, state: Any, evidence: Any) -> Path:
    """Save the train state that a broken optimizer step of `step` left, and its `evidence`.

    `folder`/checkpoints is a run's checkpoint folder, `folder`/batch-<process>.npz has the
    evidence's arrays by name, each process its own rows; they may well not be finite, unlike the
    state. What an earlier failure left there is removed. Returns `folder`.
    """
    if jax.process_index() == 0:
        remove_tree(folder, ignore_errors=True)
    multihost_utils.sync_global_devices("the failure folder is empty")
    before = dataclasses.replace(state, step=state.step * 0 + step)
    with RunCheckpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(step, before, facts={"failed": True})
    arrays = {name: local_rows(x) for name, x in named_leaves(evidence).items()}
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    _file(folder).write_bytes(packed.getbuffer())
    return folder


def read_evidence(folder: Path, like: Any) -> Any:
    """This process's evidence that `keep_failure` saved, in the structure of `like`."""
    packed = io.BytesIO(_file(folder).read_bytes())
    with np.load(packed, allow_pickle=False) as stored:
        arrays = [stored[name] for name in named_leaves(like)]
    return jax.tree.unflatten(jax.tree.structure(like), arrays)


def _file(folder: Path) -> Path:
    return folder / f"batch-{jax.process_index()}.npz"
