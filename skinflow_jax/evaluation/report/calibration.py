"""How sure the answers are, and whether rightly: what metrics.json tells of it, as charts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from skinflow_jax.evaluation.metrics import Estimate
from skinflow_jax.evaluation.report import charts
from skinflow_jax.evaluation.report.evaluations import Evaluation
from skinflow_jax.evaluation.report.figures import shown
from skinflow_jax.evaluation.report.told import estimate_of, whole
from skinflow_jax.evaluation.tables import Figure

_EVERY = 4
"""Of the points of the risk-coverage curve one in so many has a label."""


def calibrations(runs: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """For each evaluation with known confidences its figures and charts; those of all its cases.

    Raises InputError where metrics.json tells it in another form.
    """
    found = []
    for run in runs:
        told = run.metrics.get("calibration")
        with whole(f"{run.folder}/metrics.json: calibration"):
            found += [{"run": run.name, **_calibration(told)}] if told else []
    return found


def _calibration(told: Mapping[str, Any]) -> dict[str, Any]:
    figures = [
        (label, shown(label, Figure(label, estimate_of(told[label]), percent=False)))
        for label in ("ECE", "overconfidence", "AURC")
        if isinstance(told.get(label), Mapping)
    ]
    bins = [b for b in told.get("bins", ()) if isinstance(b, Mapping)]
    curve = told.get("risk coverage") or {}
    return {
        "figures": figures,
        "without": told.get("without", 0),
        "reliability": _reliability(bins) if bins else None,
        "risk": _risk(curve["coverage"], curve["risk"]) if curve else None,
    }


def _reliability(bins: Sequence[Mapping[str, Any]]):
    right, even = "first diagnosis right", "as sure as right"
    diagonal = [_point(b["confidence"]) for b in bins]
    return charts.described(
        [f"{100 * b['confidence']:.0f}" for b in bins],
        [(right, [estimate_of(b) for b in bins]), (even, diagonal)],
        title="Reliability",
        description="Share of right first diagnoses by how sure they are, 95 % intervals",
        axis="confidence in %, mean of a tenth of the cases",
    )


def _risk(coverage: Sequence[float], risk: Sequence[float]):
    labels = [
        f"{100 * share:.0f}" if (i + 1) % _EVERY == 0 else "" for i, share in enumerate(coverage)
    ]
    return charts.described(
        labels,
        [("wrong", [_point(share) for share in risk])],
        title="Risk and coverage",
        description="Share of wrong first diagnoses among the surest cases",
        axis="share of the cases in %, the surest first",
    )


def _point(share: float) -> Estimate:
    """A share that is given, without an interval."""
    return Estimate(share, math.nan, math.nan, 1)
