"""What degraded images cost, as robustness.json tells it: a curve a degradation, and all levels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from skinflow_jax.errors import shortened
from skinflow_jax.evaluation.metrics import Estimate
from skinflow_jax.evaluation.report import charts
from skinflow_jax.evaluation.report.evaluations import Evaluation
from skinflow_jax.evaluation.report.figures import Shown, percent, score, shown
from skinflow_jax.evaluation.report.told import estimate_of, number_of, whole
from skinflow_jax.evaluation.robustness import OWN
from skinflow_jax.evaluation.tables import MISSING, Figure

CURVES = ("Top-1", "critical or undetermined")
"""The figures that are drawn; they are shares, the others scores."""


def degraded(runs: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """For each evaluation with a robustness.json its curves and its table.

    Raises InputError where that has another form than docs/robustness.md says.
    """
    found = []
    for run in runs:
        if run.robustness:
            with whole(f"{run.folder}/robustness.json"):
                found.append({"run": run.name, **_degraded(run.robustness)})
    return found


def _degraded(told: Mapping[str, Any]) -> dict[str, Any]:
    own = _estimates(told[OWN])
    labels = [label for label, estimate in own.items() if estimate.n]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for level in told["levels"]:
        groups.setdefault(str(level["name"]), []).append(level)
    drawn = [label for label in CURVES if label in labels]
    return {
        "cases": int(told["cases"]),
        "of": int(told["of"]),
        "labels": labels,
        "curves": [_curve(name, levels, own, drawn) for name, levels in groups.items()]
        if drawn
        else [],
        "drawn": drawn,
        "own": [shown(label, _figure(label, own[label])) for label in labels],
        "groups": [
            {
                "name": name,
                "unit": str(levels[0]["unit"]),
                "rows": [_row(level, labels) for level in levels],
            }
            for name, levels in groups.items()
        ],
    }


def _curve(
    name: str,
    levels: Sequence[Mapping[str, Any]],
    own: Mapping[str, Estimate],
    drawn: Sequence[str],
) -> dict[str, Any]:
    figures = [_estimates(level["figures"]) for level in levels]
    series = [(label, [own[label], *(each[label] for each in figures)]) for label in drawn]
    svg = charts.shares(
        [OWN, *(f"{float(level['setting']):g}" for level in levels)],
        series,
        title=shortened(name, 40),
        description=f"{' and '.join(drawn)} by level, 95 % intervals, beside the image as it is",
        axis=shortened(str(levels[0]["unit"]).split(";")[0], 48),
    )
    return {"name": name, "svg": svg}


def _row(level: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    figures, changes = _estimates(level["figures"]), level["changes"]
    return {
        "setting": f"{float(level['setting']):g}",
        "figures": [shown(label, _figure(label, figures[label])) for label in labels],
        "changes": [_change(label, changes[label]) for label in labels],
    }


def _change(label: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """In words, and whether its interval leaves 0 out."""
    mean, low, high = (number_of(told[name]) for name in ("mean", "low", "high"))
    write = percent if label in CURVES else score
    if not math.isfinite(mean):
        return {"shown": Shown("", MISSING, "", "", None), "sure": False}
    interval = "" if math.isnan(low) else f"{_signed(write, low)} to {_signed(write, high)}"
    told_in_words = Shown("", _signed(write, mean), interval, "", None)
    return {"shown": told_in_words, "sure": low > 0 or high < 0}


def _signed(write, value: float) -> str:
    return ("+" if value >= 0 else "−") + write(abs(value))


def _estimates(told: Mapping[str, Any]) -> dict[str, Estimate]:
    return {str(label): estimate_of(estimate) for label, estimate in told.items()}


def _figure(label: str, estimate: Estimate) -> Figure:
    return Figure(label, estimate, percent=label in CURVES)
