"""What degraded images cost: figures by degradation and level, and what changed case by case."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from skinflow_jax.evaluation.metrics import (
    FEW,
    Estimate,
    PairedDifference,
    mean_with_interval,
    paired_difference,
)
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.summary import groups_of
from skinflow_jax.evaluation.tables import FEW_SIGN, MISSING, markdown_table, rich_table

VERSION = 1
OWN = "own"


def _top_1(prediction: Prediction) -> bool | None:
    return prediction.rank == 1 if prediction.task == "diagnosis" else None


def _unsafe(prediction: Prediction) -> bool | None:
    return None if prediction.safety is None else prediction.safety != "none"


FIGURES: Mapping[str, Callable[[Prediction], float | None]] = {
    "Top-1 %": _top_1,
    "diagnosis reward": lambda prediction: prediction.diagnosis_reward,
    "caption reward": lambda prediction: prediction.caption_reward,
    "critical or undetermined %": _unsafe,
}
"""Figures of a level, each with its value of one answer; None where the answer has none."""


@dataclass(frozen=True)
class Condition:
    """A degradation at a level, from 1; `setting` is what the level means, in `unit`."""

    name: str
    level: int
    setting: float
    unit: str


@dataclass(frozen=True)
class Level:
    """Figures under a condition, and their changes from the images as they are, by label."""

    condition: Condition
    figures: Mapping[str, Estimate]
    changes: Mapping[str, PairedDifference]


@dataclass(frozen=True)
class Robustness:
    """Of `cases` cases, of the `of` that are held out."""

    cases: int
    of: int
    own: Mapping[str, Estimate]
    levels: tuple[Level, ...]

    def to_dict(self) -> dict[str, Any]:
        """What robustness.json holds; docs/robustness.md is its schema."""
        return {
            "version": VERSION,
            "cases": self.cases,
            "of": self.of,
            OWN: _named(self.own),
            "levels": [
                asdict(level.condition)
                | {"figures": _named(level.figures), "changes": _named(level.changes)}
                for level in self.levels
            ],
        }

    def table(self) -> RenderableType:
        """A table of the figures, one of what changed, and what both mean; 80 columns wide."""
        figures, changes = (
            rich_table([label.replace(" or ", " or\n") for label in header], _grouped(rows), None)
            for header, rows in self._tables()
        )
        return Group(figures, "", changes, "", *map(Text, self._notes()))

    def markdown(self) -> str:
        """The same."""
        tables = (
            markdown_table(
                header, [[f"{name} {setting}".strip(), *cells] for name, setting, *cells in rows]
            )
            for header, rows in self._tables()
        )
        return "\n\n".join([*tables, "".join(f"* {note}\n" for note in self._notes())])

    def _notes(self) -> list[str]:
        units = {level.condition.name: level.condition.unit for level in self.levels}
        few = f" ({FEW_SIGN}: hardly anything is known)" if self.cases < FEW else ""
        return [
            f"{self.cases:,} of {self.of:,} held-out cases{few}; values and 95 % intervals",
            "changes are from a case's own images, paired by case",
            *(f"{name}: {unit}" for name, unit in units.items()),
        ]

    def _tables(self) -> tuple[tuple[list[str], list[list[str]]], ...]:
        """Header and rows (name, setting, cells) of both; what was not asked is no column."""
        labels = [label for label, estimate in self.own.items() if estimate.n]
        figures = [[OWN, "", *(_cell(self.own[label], label) for label in labels)]]
        changes = []
        for level in self.levels:
            begin = [level.condition.name, f"{level.condition.setting:g}"]
            figures.append(begin + [_cell(level.figures[label], label) for label in labels])
            changes.append(begin + [_changed(level.changes[label], label) for label in labels])
        return (["images", *labels], figures), (["change", *labels], changes)


def _grouped(rows: list[list[str]]) -> list[list[str]]:
    """Each name once, above its settings: it leaves room for four figures."""
    found, last = [], ""
    for name, setting, *cells in rows:
        if setting and name != last:
            found.append([name, *[""] * len(cells)])
        found.append([f"  {setting}" if setting else name, *cells])
        last = name
    return found


def robustness(
    own: Sequence[Prediction], under: Mapping[Condition, Sequence[Prediction]], *, of: int
) -> Robustness:
    """Figures of the answers to the images as they are, and under each condition.

    `under` has answers to the same questions, in any order; raises ValueError where it has not.
    `of`: how many cases are held out, of which these are some.
    """
    levels = tuple(
        Level(condition, _figures(answers), _changes(own, answers))
        for condition, answers in under.items()
    )
    return Robustness(len({p.case_id for p in own}), of, _figures(own), levels)


def _figures(predictions: Sequence[Prediction]) -> dict[str, Estimate]:
    found = {}
    for label, value in FIGURES.items():
        having = [p for p in predictions if value(p) is not None]
        found[label] = mean_with_interval(
            [float(value(p)) for p in having], groups=groups_of(having)
        )
    return found


def _changes(
    before: Sequence[Prediction], after: Sequence[Prediction]
) -> dict[str, PairedDifference]:
    others = {(p.task, p.case_id): p for p in after}
    if others.keys() != {(p.task, p.case_id) for p in before}:
        raise ValueError("the answers are not to the same questions")
    found = {}
    for label, value in FIGURES.items():
        pairs = [(p, others[p.task, p.case_id]) for p in before if value(p) is not None]
        found[label] = paired_difference(
            *([float(value(pair[i])) for pair in pairs] for i in (0, 1)),
            groups=groups_of([p for p, _ in pairs]),
        )
    return found


def _named(found: Mapping[str, Estimate | PairedDifference]) -> dict[str, dict[str, Any]]:
    """By label as in metrics.json, where shares are between 0 and 1."""
    return {label.removesuffix(" %"): each.to_dict() for label, each in found.items()}


def _cell(found: Estimate, label: str) -> str:
    if label.endswith("%"):
        return f"{100 * found.value:.1f} [{_whole(found.low)}, {_whole(found.high)}]"
    return f"{_score(found.value)} [{_score(found.low)}, {_score(found.high)}]"


def _changed(found: PairedDifference, label: str) -> str:
    numbers = (found.mean, found.low, found.high)
    form = functools.partial(_whole if label.endswith("%") else _score, sign="+")
    mean, low, high = map(form, numbers)
    return f"{mean} [{low}, {high}]"


# Four figures with their intervals have to fit into 80 columns: robustness.json has all digits.
def _whole(share: float, sign: str = "") -> str:
    return f"{round(100 * share):{sign}d}" if math.isfinite(share) else MISSING


def _score(value: float, sign: str = "") -> str:
    return f"{value:{sign}.2f}".replace("0.", ".", 1) if math.isfinite(value) else MISSING
