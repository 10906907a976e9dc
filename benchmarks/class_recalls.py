"""Recall by class of first diagnoses, averaged over seeds, with intervals over lesions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skinflow_jax.evaluation.metrics import (
    Estimate,
    PairedDifference,
    macro_recall,
    macro_recall_difference,
)
from skinflow_jax.evaluation.tables import FEW_SIGN

OTHER = "other"


@dataclass(frozen=True)
class Answers:
    """First answers to the same held-out images, one list a seed; `lesions` are the groups."""

    references: Sequence[str]
    lesions: Sequence[str]
    firsts: Sequence[Sequence[str | None]]

    @property
    def right(self) -> np.ndarray:
        """Share of the seeds that named the class of an image, `[N]`."""
        return (np.array(self.firsts, object) == np.array(self.references, object)).mean(axis=0)

    def macro_recall(self) -> Estimate:
        """Mean over classes of the recall; each image counts, the interval goes by lesions."""
        return macro_recall(self.references, self.right, groups=self.lesions)

    def accuracy(self) -> Estimate:
        """Share of the images, that is the recall of one class of all of them."""
        return macro_recall(["all"] * len(self.right), self.right, groups=self.lesions)

    def by_seed(self) -> list[float]:
        """Macro recall of each seed."""
        return [
            Answers(self.references, self.lesions, [first]).macro_recall().value
            for first in self.firsts
        ]


def difference(before: Answers, after: Answers) -> PairedDifference:
    """Macro recall of `after` less that of `before`, paired by image."""
    pair = before.right, after.right
    return macro_recall_difference(before.references, *pair, groups=before.lesions)


def confusion(answers: Answers, classes: Sequence[str]) -> np.ndarray:
    """Images by class (rows) and first answer (columns, the last is any other), mean over seeds."""
    places = {name: place for place, name in enumerate(classes)}
    table = np.zeros((len(classes), len(classes) + 1))
    for firsts in answers.firsts:
        for reference, first in zip(answers.references, firsts, strict=True):
            table[places[reference], places.get(first, len(classes))] += 1 / len(answers.firsts)
    return table


def recall(answers: Answers, name: str) -> Estimate:
    """Of one class, with its interval over lesions."""
    own = [place for place, reference in enumerate(answers.references) if reference == name]
    lesions = [answers.lesions[place] for place in own]
    return macro_recall([name] * len(own), answers.right[own], groups=lesions)


def confusion_markdown(answers: Answers, short: Mapping[str, str]) -> str:
    """The confusion as a table under the short names of the classes, with each one's recall."""
    table = confusion(answers, list(short))
    head = "".join(f" {name} |" for name in (*short.values(), OTHER, "recall, %"))
    lines = [f"| is \\ named |{head}", "| --- |" + " ---: |" * (len(short) + 2)]
    for (name, title), row in zip(short.items(), table, strict=True):
        found = f" {shown(recall(answers, name))} |" if row.sum() else " |"
        lines.append(f"| {title} |" + "".join(f" {count:.4g} |" for count in row) + found)
    return "\n".join(lines)


def shown(estimate: Estimate) -> str:
    """Per cent, with the interval, and the sign where there are few lesions."""
    sign = FEW_SIGN if estimate.few else ""
    return _shown(estimate.value, estimate.low, estimate.high, "") + sign


def shown_difference(change: PairedDifference) -> str:
    """Points, with the interval and the images that went up and down."""
    points = _shown(change.mean, change.low, change.high, "+")
    return f"{points} points; images that gained {change.gained}, that lost {change.lost}"


def _shown(value: float, low: float, high: float, sign: str) -> str:
    value, low, high = (100 * x for x in (value, low, high))
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"
