"""Figures as a page writes them: the six of the first screen, and the table of all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skinflow_jax.evaluation.metrics import FEW, Estimate
from skinflow_jax.evaluation.report.evaluations import Evaluation
from skinflow_jax.evaluation.tables import FEW_SIGN, MISSING, Figure

# What matters most to a patient first; of an evaluation that lacks some, the next are taken.
_LEADING = {
    "Top-1 %": "the first diagnosis is right",
    "Top-6 %": "one of the six diagnoses is right",
    "safety-critical %": "the first step for the first diagnosis harms, or delays what cannot wait",
    "undetermined %": "nothing that could be acted on: refused, unknown or too broad",
    "missed malignancy %": "of cancers, the first diagnosis is none",
    "missed urgent %": "of what cannot wait, the first diagnosis can",
    "over-triage %": "of what can wait, the first diagnosis cannot",
    "caption reward": "mean agreement of the caption with what is known, 0 to 1",
    "valid captions %": "the caption has the form that was asked for",
    "macro recall %": "mean over diseases of Top-1",
    "equal answers %": "the answer is the row's",
}
_SIX = 6
_WORSE_UP = ("safety-critical", "undetermined", "missed", "over-triage")


@dataclass(frozen=True)
class Shown:
    """A figure in words. `low`, `value`, `high` are per cent of the figure's range, for a bar."""

    run: str
    value: str
    interval: str
    n: str
    bar: tuple[float, float, float] | None


def shown(run: str, figure: Figure | None) -> Shown:
    """How a page writes `figure`; one over no cases, or None, is n/a."""
    if figure is None or figure.estimate.n == 0:
        return Shown(run, MISSING, "", "", None)
    estimate, number = figure.estimate, percent if figure.percent else score
    value, interval, bar = number(estimate.value), "no interval", None
    if not math.isnan(estimate.low):
        interval = f"{number(estimate.low)} to {number(estimate.high)}"
        bar = tuple(round(100 * x, 2) for x in (estimate.low, estimate.value, estimate.high))
    return Shown(run, f"{value} %" if figure.percent else value, interval, counted(estimate), bar)


def percent(share: float) -> str:
    """A share in per cent, without the sign."""
    return f"{100 * share:.1f}"


def score(value: float) -> str:
    """A mean score."""
    return f"{value:.3f}"


def counted(estimate: Estimate) -> str:
    """Cases, groups where they are fewer, and the sign where there are few."""
    sign = FEW_SIGN if estimate.few else ""
    if estimate.groups in (None, estimate.n):
        return f"{estimate.n:,}{sign}"
    return f"{estimate.n:,} in {estimate.groups:,} groups{sign}"


def few_note() -> str:
    """What the sign means."""
    return f"{FEW_SIGN} fewer than {FEW} cases or groups: hardly anything is known."


def first_screen(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """The six figures that matter, each of every evaluation, with what it means."""
    by_run = [{f.label: f for f in each.summary.asked} for each in evaluations]
    labels = [label for label in _LEADING if any(label in found for found in by_run)][:_SIX]
    return [
        {
            "label": label.removesuffix(" %"),
            "meaning": _LEADING[label],
            "worse_up": label.startswith(_WORSE_UP),
            "runs": _row(evaluations, by_run, label),
        }
        for label in labels
    ]


def all_figures(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Every figure of what was asked, a row each, the floor's beside those that it has."""
    by_run = [{f.label: f for f in each.summary.asked} for each in evaluations]
    labels = dict.fromkeys(label for found in by_run for label in found)
    floor = floors(evaluations[-1].metrics)
    return [
        {
            "label": label.removesuffix(" %"),
            "runs": _row(evaluations, by_run, label),
            "floor": floor.get(label.removesuffix(" %"), ""),
        }
        for label in labels
    ]


def _row(evaluations, by_run, label) -> list[Shown]:
    return [
        shown(each.name, found.get(label)) for each, found in zip(evaluations, by_run, strict=True)
    ]


def floors(metrics: Mapping[str, Any]) -> dict[str, str]:
    """What the best constant answers reach, by figure, as metrics.json tells it."""
    floor = metrics.get("floor")
    told = floor.values() if isinstance(floor, dict) else ()
    found = {}
    for part in told:
        for label, estimate in part.items() if isinstance(part, dict) else ():
            value = estimate.get("value") if isinstance(estimate, dict) else None
            if _known(value):
                is_score = label.endswith("reward")
                found[label] = score(value) if is_score else f"{percent(value)} %"
    return found


def majority(metrics: Mapping[str, Any]) -> str:
    """What the most frequent training diagnosis would reach, in a sentence; "" where not told."""
    baseline = metrics.get("majority baseline")
    accuracy = baseline.get("accuracy") if isinstance(baseline, dict) else None
    value = accuracy.get("value") if isinstance(accuracy, dict) else None
    if not _known(value) or not baseline.get("label"):
        return ""
    return f"Answering “{baseline['label']}” every time would reach Top-1 {percent(value)} %."


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
