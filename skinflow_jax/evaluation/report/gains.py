"""What one evaluation gained and lost against another, in figures and case by case."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from skinflow_jax.evaluation.comparing import comparisons
from skinflow_jax.evaluation.metrics import mcnemar_p_value
from skinflow_jax.evaluation.report.cases import Answer, CaseShown
from skinflow_jax.evaluation.report.evaluations import Joined
from skinflow_jax.evaluation.tables import MISSING, Comparison, counted

_KINDS: dict[str, Callable[[Answer], bool]] = {
    "first diagnosis right": lambda answer: answer.rank == 1,
    "right among six": lambda answer: answer.rank is not None,
    "first diagnosis not critical": lambda answer: "critical" not in answer.outcomes,
}


def differences(joined: Joined) -> list[dict[str, Any]]:
    """A row for each figure that each evaluation changed against the one before it."""
    names = [each.name for each in joined.evaluations]
    answers = [each.predictions for each in joined.evaluations]
    # Of two it is plain which less which.
    prefix = f"{names[1]} - {names[0]}, " if len(names) == 2 else ""
    return [_row(c, prefix) for c in comparisons(names, answers) if c.difference.n]


def _row(comparison: Comparison, prefix: str) -> dict[str, Any]:
    found, share = comparison.difference, comparison.percent
    number = (lambda x: f"{100 * x:+.1f}") if share else (lambda x: f"{x:+.3f}")
    p_value = mcnemar_p_value(found.gained, found.lost) if share else None
    return {
        "label": comparison.label.removeprefix(prefix),
        "change": number(found.mean) + (" points" if share else ""),
        "interval": MISSING
        if math.isnan(found.low)
        else f"{number(found.low)} to {number(found.high)}",
        "beyond": found.beyond_interval,
        "gained": found.gained,
        "lost": found.lost,
        "n": counted(found),
        "p": "" if p_value is None else "< 0.0001" if p_value < 1e-4 else f"{p_value:.4f}",
    }


def gains_and_losses(joined: Joined, cases: Sequence[CaseShown]) -> list[dict[str, Any]]:
    """For each evaluation and the one before it, the cases that each kind gained and lost."""
    found = []
    ranked = [case for case in cases if all(answer.outcomes for answer in case.answers)]
    for before, after in pairwise(range(len(joined.evaluations))):
        for kind, holds in _KINDS.items():
            had = {case.number: holds(case.answers[before]) for case in ranked}
            has = {case.number: holds(case.answers[after]) for case in ranked}
            found.append(
                {
                    "before": before,
                    "after": after,
                    "kind": kind,
                    "gained": [c for c in ranked if has[c.number] > had[c.number]],
                    "lost": [c for c in ranked if has[c.number] < had[c.number]],
                }
            )
    return found
