"""Figures by what else is known of the cases: their partitions, image quality and source."""

from collections.abc import Sequence
from typing import Any

from skinflow_jax.evaluation.report.evaluations import Evaluation
from skinflow_jax.evaluation.report.figures import shown
from skinflow_jax.evaluation.subgroups import MOST_VALUES, Subgroups
from skinflow_jax.evaluation.tables import Figure

COLUMNS = ("Top-1", "Top-6", "safety-critical", "undetermined", "missed malignancy")
_ELSEWHERE = "skin type"  # which has a section of its own


def by_facts(runs: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """For each fact with several values a table for each evaluation; of one value there is none."""
    names = dict.fromkeys(name for run in runs for name in run.summary.subgroups)
    found = []
    for name in names:
        tables = [
            {"run": run.name, "rows": _rows(each), "note": _note(each)}
            for run in runs
            if (each := run.summary.subgroups.get(name)) and len(each.rows) > 1
        ]
        if tables and name != _ELSEWHERE:
            found.append({"name": name, "tables": tables})
    return found


def _rows(each: Subgroups) -> list[dict[str, Any]]:
    rows = []
    for value, known in each.rows.items():
        figures = [
            shown(label, Figure(label, known[label]) if label in known else None)
            for label in COLUMNS
        ]
        rows.append({"label": value, "figures": figures})
    return rows


def _note(each: Subgroups) -> str:
    told = []
    if each.untold:
        told.append(f"Cases of which it is not told: {each.untold:,}.")
    if each.further:
        told.append(f"Of values beyond the {MOST_VALUES} most frequent: {each.further:,}.")
    return " ".join(told)
