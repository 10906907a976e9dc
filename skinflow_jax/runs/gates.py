"""The gates of a dynamic vision encoder over held-out images, beside the answers to them."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from skinflow_jax.config import RunConfig
from skinflow_jax.data.exchange import drawn
from skinflow_jax.data.pipeline import Batch
from skinflow_jax.data.records import RecordSet
from skinflow_jax.errors import RunError
from skinflow_jax.evaluation.gates import FILE, GateSummary, ImageGates, Map, summarise_gates
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.parallel import local_rows, place_batch
from skinflow_jax.parallel.agreement import agreed, gather
from skinflow_jax.parallel.peers import moved
from skinflow_jax.runs.opening import Policy
from skinflow_jax.storage.paths import exists, reaching
from skinflow_jax.training.gate_figures import GROUP, group_gates

MOST = 200
"""Held-out cases whose images are looked at; our choice: a spread needs no more."""


def evaluate_gates(
    policy: Policy,
    config: RunConfig,
    records: RecordSet,
    batches: Callable[..., Iterator[Batch]],
    predictions: Sequence[Prediction],
    out: Path,
    mesh=None,
) -> GateSummary | None:
    """Figures of the gates of at most `MOST` cases, drawn; writes gates.json, removes an old one.

    None, and no file, of a model whose frequency groups have no gates. `batches`:
    `evaluation_batches` of the records, without task and images; `mesh` is in use.
    """
    dve, task = policy.model.config.vision.dve, config.evaluation.tasks[0]
    found: list[ImageGates] = []
    if dve is not None and GROUP in dve.gates:
        own = {number: number for number in drawn(records, MOST, task)}
        if own:
            chosen = batches(task=task, images_of=own)
            found = gates_of(policy.model, chosen, config.model.compute, mesh)
    summary = summarise_gates(found, predictions, of=len(records)) if found else None
    if jax.process_index() == 0:
        with reaching(out, RunError):
            if summary is not None:
                told = json.dumps(summary.to_dict(), allow_nan=False)
                (out / FILE).write_text(told, encoding="utf-8")
            elif exists(out / FILE):  # of an earlier evaluation
                (out / FILE).unlink()
    return summary


def gates_of(
    model: Vlm, batches: Iterator[Batch], compute: ComputeConfig, mesh=None
) -> list[ImageGates]:
    """The gates of every image of `batches`; of several processes all get those of all."""
    found: list[ImageGates] = []
    for batch in agreed(batches):
        gates = jax.tree.map(
            local_rows, group_gates(model, place_batch(batch.inputs, mesh), compute=compute)
        )
        found += itertools.chain.from_iterable(gather(list(_by_image(batch, gates))))
        moved()
    return found


def _by_image(batch: Batch, gates: dict[Map, np.ndarray]) -> Iterator[ImageGates]:
    """`gates` are `[B, I, groups]`; of rows that fill up, and of places of no image, none."""
    there = batch.inputs.patch_mask.any(axis=-1)
    for row, example in enumerate(batch.examples[: batch.valid]):
        for place in np.flatnonzero(there[row]):
            chosen = {name: values[row, place] for name, values in gates.items()}
            yield ImageGates(example.case_id, chosen)
