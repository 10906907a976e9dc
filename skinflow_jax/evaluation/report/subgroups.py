"""Figures by skin type, and which kind of disease was taken for which."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skinflow_jax.clinical import find
from skinflow_jax.evaluation.figures import groups_of
from skinflow_jax.evaluation.metrics import Estimate, mean_with_interval
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.report.evaluations import Evaluation
from skinflow_jax.evaluation.report.figures import Shown, shown
from skinflow_jax.evaluation.tables import Figure

ROMAN = ("I", "II", "III", "IV", "V", "VI")
"""Fitzpatrick's skin types."""

NO_ANSWER, UNKNOWN, ELSEWHERE = "no answer", "unknown name", "elsewhere"
"""Columns of a confusion beside the partitions; "elsewhere": of another, or of none."""

_OUTCOMES: dict[str, Callable[[Prediction], bool | None]] = {
    "Top-1": lambda p: p.rank == 1,
    "Top-6": lambda p: p.rank is not None,
    "critical": lambda p: None if p.safety is None else p.safety == "critical",
    "undetermined": lambda p: None if p.safety is None else p.safety == "undetermined",
    "missed malignancy": lambda p: p.malignancy_missed,
}
_SHADES = 5


def diagnoses(evaluation: Evaluation) -> list[Prediction]:
    """The predictions that rank diagnoses."""
    return [p for p in evaluation.predictions if p.task == "diagnosis"]


def top_1(predictions: Sequence[Prediction]) -> Estimate:
    """The share whose first diagnosis is right."""
    return _share(predictions, _OUTCOMES["Top-1"])


def by_skin_type(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A row of figures for each skin type that occurs; empty where the data tell none."""
    found = diagnoses(evaluation)
    rows = [(f"type {name}", [p for p in found if p.skin_type == i]) for i, name in _numbered()]
    rows.append(("not told", [p for p in found if p.skin_type is None]))
    if not any(of for _, of in rows[:-1]):
        return []
    return [{"label": label, "n": len(of), "figures": _figures(of)} for label, of in rows if of]


def skin_type_series(evaluation: Evaluation) -> list[Estimate]:
    """Top-1 by skin type, I to VI."""
    found = diagnoses(evaluation)
    return [top_1([p for p in found if p.skin_type == i]) for i, _ in _numbered()]


def _numbered():
    return enumerate(ROMAN, start=1)


def _figures(predictions: Sequence[Prediction]) -> list[Shown]:
    return [shown(name, Figure(name, _share(predictions, of))) for name, of in _OUTCOMES.items()]


def figure_names() -> list[str]:
    """The columns of `by_skin_type`."""
    return list(_OUTCOMES)


def _share(predictions: Sequence[Prediction], of: Callable[[Prediction], bool | None]) -> Estimate:
    having = [p for p in predictions if of(p) is not None]
    return mean_with_interval([float(of(p)) for p in having], groups=groups_of(having))


def confusions(evaluation: Evaluation) -> list[dict[str, Any]]:
    """For each partition of the diagnoses: rows of the truth, columns of the first diagnosis.

    A cell has its count and a shade, 0 to 5, of its share of the row.
    """
    found = diagnoses(evaluation)
    schemes = dict.fromkeys(name for p in found for name in p.partitions)
    return [_confusion(name, [p for p in found if name in p.partitions]) for name in schemes]


def _confusion(scheme: str, predictions: Sequence[Prediction]) -> dict[str, Any]:
    of_disease = _partitions_of(scheme, predictions)
    rows = [name for name, _ in Counter(p.partitions[scheme] for p in predictions).most_common()]
    counts: Counter[tuple[str, str]] = Counter()
    for p in predictions:
        taken = _taken_for(p, scheme, of_disease)
        known = taken in (*rows, UNKNOWN, NO_ANSWER)
        counts[p.partitions[scheme], taken if known else ELSEWHERE] += 1
    others = [name for name in (ELSEWHERE, UNKNOWN, NO_ANSWER) if any(c == name for _, c in counts)]
    columns = rows + [name for name in others if name not in rows]
    return {
        "scheme": scheme.removesuffix("_partition").replace("_", " "),
        "columns": columns,
        "rows": [_cells(row, columns, counts) for row in rows],
        "n": len(predictions),
    }


def _cells(row: str, columns: Sequence[str], counts: Mapping) -> dict[str, Any]:
    numbers = [counts[row, column] for column in columns]
    total = sum(numbers)
    cells = [
        {"count": n, "shade": -(-n * _SHADES // total), "right": column == row}
        for n, column in zip(numbers, columns, strict=True)
    ]
    return {"label": row, "total": total, "cells": cells}


def _partitions_of(scheme: str, predictions: Sequence[Prediction]) -> dict[str, str]:
    """The data set's own partition of each disease that is a reference in it."""
    if scheme == "ontology":
        return {}
    return {_canonical(p.reference): p.partitions[scheme] for p in predictions}


def _taken_for(prediction: Prediction, scheme: str, of_disease: Mapping[str, str]) -> str:
    if prediction.rank == 1:
        return prediction.partitions[scheme]
    if prediction.first is None:
        return NO_ANSWER
    disease = find(prediction.first)
    if scheme == "ontology":
        return (disease.partition or ELSEWHERE) if disease else UNKNOWN
    named = of_disease.get(_canonical(prediction.first))
    return named or (ELSEWHERE if disease else UNKNOWN)


def _canonical(name: str) -> str:
    disease = find(name)
    return disease.name if disease else name
