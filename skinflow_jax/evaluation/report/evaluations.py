"""What a report is made of: the folders of evaluations, and the cases that all of them share."""

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skinflow_jax.errors import InputError, one_line, printable, shortened
from skinflow_jax.evaluation.floor import Floor
from skinflow_jax.evaluation.predictions import Prediction, read_predictions
from skinflow_jax.evaluation.report.attention import AttentionMaps, read_attention
from skinflow_jax.evaluation.summary import Summary, summarise

MOST = 3
"""Evaluations that can be read side by side."""

_NO_FLOOR = Floor((), None, None)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation. `metrics` is its metrics.json, empty where there is none."""

    name: str
    folder: Path
    predictions: tuple[Prediction, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    attention: AttentionMaps | None = None

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
    known = _metrics(folder / "metrics.json")
    return Evaluation(name, folder, predictions, known, read_attention(folder))


def _metrics(path: Path) -> dict[str, Any]:
    """Where there is such a file; figures over no cases are NaN in it, which is no JSON."""
    if not path.is_file():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({one_line(error)}): evaluate again") from error
    if not isinstance(known, dict):
        raise InputError(f"{path}: is no JSON object: evaluate again, or remove it")
    return known


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
