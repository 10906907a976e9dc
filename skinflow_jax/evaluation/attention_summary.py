"""Figures of attention over a split, of two models on the same cases, and beside two controls."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from skinflow_jax.evaluation.attention_figures import FIGURES, change, estimate
from skinflow_jax.evaluation.attention_maps import KINDS, QUERIES, CaseAttention
from skinflow_jax.evaluation.metrics import Estimate, PairedDifference
from skinflow_jax.evaluation.tables import Comparison, Figure, comparison_lines

By = Mapping[tuple[str, str, str], PairedDifference]
"""By query, kind and figure."""


@dataclass(frozen=True)
class AttentionSummary:
    """Of the cases looked at: figures by query, kind and name, and the same of each layer.

    `controls`: by name of a control its own figures, and how much they are less or more than those
    of the same cases without it.
    """

    cases: tuple[CaseAttention, ...]
    figures: Mapping[tuple[str, str, str], Estimate]
    controls: Mapping[str, tuple["AttentionSummary", By]] = field(default_factory=dict)

    def table(self) -> list[Figure]:
        """The rows that are printed: of the mean over layers and heads."""
        return [
            Figure(f"{query}: {name}", self.figures[query, "mean", name], percent=False)
            for query, name in itertools.product(QUERIES, FIGURES)
            if self.figures[query, "mean", name].n
        ]

    def lines(self) -> list[str]:
        """What the controls change, of the figures that matter, and what was not looked at."""
        found = []
        for control, (_, differences) in self.controls.items():
            shown = [
                Comparison(f"{control} - own, {query}: {name}", difference, percent=False)
                for (query, kind, name), difference in differences.items()
                if kind == "mean" and name in ("entropy", "inside") and difference.n
            ]
            found += comparison_lines(shown)
        return found + [
            f"{count:,} cases {what}" for what, count in self.missing().items() if count
        ]

    def missing(self) -> dict[str, int]:
        """How many cases some figures leave out, and why."""
        absent = np.isnan([case.figures[:, 0] for case in self.cases])
        of_name = dict(zip(FIGURES, np.moveaxis(absent, -1, 0), strict=True))
        return {
            "without a first diagnosis in the answer": int(of_name["entropy"][:, 1].sum()),
            "without a mask": int(of_name["area"][:, 0].sum()),
        }

    def to_dict(self) -> dict:
        """What attention.json holds."""
        return {
            "cases": len(self.cases),
            **self.missing(),
            "figures": _nested(self.figures),
            "layers": self._layers(),
            "controls": {
                name: {"figures": _nested(summary.figures), "less own": _nested(differences)}
                for name, (summary, differences) in self.controls.items()
            },
        }

    def _layers(self) -> dict:
        """By query and figure `[layers][key heads]` of [value, low, high], null where unknown."""
        groups = [case.group for case in self.cases]
        values = np.stack([case.layers for case in self.cases])

        def ends(series):
            found = estimate(series, groups)
            numbers = (found.value, found.low, found.high)
            return [None if np.isnan(x) else float(x) for x in numbers]

        return {
            query: {
                name: [
                    [ends(values[:, layer, head, q, f]) for head in range(values.shape[2])]
                    for layer in range(values.shape[1])
                ]
                for f, name in enumerate(FIGURES)
                if name in ("image", "entropy", "inside")
            }
            for q, query in enumerate(QUERIES)
        }


def summarise_attention(
    cases: Sequence[CaseAttention], controls: Mapping[str, Sequence[CaseAttention]] | None = None
) -> AttentionSummary:
    """Figures over all cases, and beside controls by name: the same cases, or some of them."""
    groups = [case.group for case in cases]
    figures = {key: estimate(values, groups) for key, values in _series(cases).items()}
    beside = {
        name: (summarise_attention(other), attention_changes(cases, other))
        for name, other in (controls or {}).items()
        if other
    }
    return AttentionSummary(tuple(cases), figures, beside)


def attention_changes(before: Sequence[CaseAttention], after: Sequence[CaseAttention]) -> By:
    """The figures of `after` less those of `before`, over the cases that both have."""
    earlier = {case.case_id: case for case in before}
    after = [case for case in after if case.case_id in earlier]
    before = _series([earlier[case.case_id] for case in after])
    groups = [case.group for case in after]
    return {key: change(before[key], values, groups) for key, values in _series(after).items()}


def _series(cases: Sequence[CaseAttention]) -> dict[tuple[str, str, str], np.ndarray]:
    shape = (len(QUERIES), len(KINDS), len(FIGURES))
    values = np.array([case.figures for case in cases], np.float64).reshape(-1, *shape)
    keys = itertools.product(*(enumerate(names) for names in (QUERIES, KINDS, FIGURES)))
    return {(q, k, f): values[:, i, j, n] for (i, q), (j, k), (n, f) in keys}


def _nested(by: Mapping) -> dict:
    found: dict = {}
    for (query, kind, name), value in by.items():
        found.setdefault(query, {}).setdefault(kind, {})[name] = value.to_dict()
    return found
