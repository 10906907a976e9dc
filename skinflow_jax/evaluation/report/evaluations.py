"""What a report is made of: the folders of evaluations, and the cases that all of them share."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skinflow_jax.errors import InputError, printable, shortened
from skinflow_jax.evaluation import gates
from skinflow_jax.evaluation.floor import Floor
from skinflow_jax.evaluation.predictions import Prediction, read_predictions
from skinflow_jax.evaluation.report.attention import AttentionMaps, read_attention
from skinflow_jax.evaluation.report.told import read_told
from skinflow_jax.evaluation.robustness import VERSION as ROBUSTNESS
from skinflow_jax.evaluation.summary import Summary, summarise

MOST = 3
"""Evaluations that can be read side by side."""

_NO_FLOOR = Floor((), None, None)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation. `metrics`, `robustness`, `gates`: its JSON files, empty where not there."""

    name: str
    folder: Path
    predictions: tuple[Prediction, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    attention: AttentionMaps | None = None
    robustness: Mapping[str, Any] = field(default_factory=dict)
    gates: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def summary(self) -> Summary:
        """The figures of these predictions; the floor stands in `metrics`."""
        return summarise(self.predictions, _NO_FLOOR)


@dataclass(frozen=True)
class Joined:
    """Evaluations on the same answers, in the same order; `notes` say what was left out for it."""

    evaluations: tuple[Evaluation, ...]
    notes: tuple[str, ...] = ()


def read_evaluations(folders: Sequence[Path]) -> Joined:
    """The evaluations of `folders`, joined on task and case id.

    Raises InputError where there are too many, one is unreadable or has a case twice, they share
    no case, or a shared case has not the same truth in all.
    """
    if not 1 <= len(folders) <= MOST:
        raise InputError(f"--evaluation names {len(folders)} folders: give one to {MOST}")
    names = _names(folders)
    return join([_read(folder, name) for folder, name in zip(folders, names, strict=True)])


def join(evaluations: Sequence[Evaluation]) -> Joined:
    """Leave out of each what others have not; see `read_evaluations`."""
    keyed = [{(p.task, p.case_id): p for p in each.predictions} for each in evaluations]
    common = [key for key in keyed[0] if all(key in found for found in keyed)]
    if not common:
        raise InputError(
            f"{evaluations[0].folder}: there is no answer to compare"
            + (": the evaluations share no case" if len(keyed) > 1 else "")
        )
    for key in common:
        if len({found[key].reference for found in keyed}) > 1:
            raise InputError(
                f"{evaluations[-1].folder}: case {shortened(key[1])} ({key[0]}) has another truth "
                "than in the other evaluation: evaluate both on the same data"
            )
    kept, shared = set(common), [tuple(found[key] for key in common) for found in keyed]
    notes = []
    for each, found in zip(evaluations, keyed, strict=True):
        alone = [key for key in found if key not in kept]
        if alone:
            notes.append(
                f"{each.name}: {len(alone):,} of {len(found):,} answers are to cases that not all "
                f"evaluations have, and are left out; the first: {shortened(alone[0][1])}."
            )
    joined = (replace(e, predictions=p) for e, p in zip(evaluations, shared, strict=True))
    return Joined(tuple(joined), tuple(notes))


def _read(folder: Path, name: str) -> Evaluation:
    path = folder / "predictions.jsonl"
    predictions = tuple(read_predictions(path))
    if not predictions:
        raise InputError(f"{path}: holds no prediction: evaluate again")
    (task, case), count = Counter((p.task, p.case_id) for p in predictions).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{path}: case {shortened(case)} ({task}) is there {count} times: keep one of them"
        )
    return Evaluation(
        name,
        folder,
        predictions,
        metrics=read_told(folder / "metrics.json"),
        attention=read_attention(folder),
        robustness=read_told(folder / "robustness.json", ROBUSTNESS),
        gates=read_told(folder / gates.FILE, gates.VERSION),
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """Short names that tell the folders apart, else their paths."""
    found = [_name(folder.absolute()) for folder in folders]
    paths = [printable(str(folder)) for folder in folders]
    return found if len(set(found)) == len(found) else paths


def _name(folder: Path) -> str:
    """Of a run's eval/STEP: the run and the step."""
    if folder.parent.name == "eval":
        return f"{folder.parent.parent.name}, step {folder.name}"
    return folder.name or str(folder)
