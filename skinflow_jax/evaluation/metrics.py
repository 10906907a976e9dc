"""Figures of an evaluation with their uncertainty, from results case by case.

Every figure has the interval of `intervals` that fits it, by groups of cases where they are given:
`groups` `[n]` names the patient or lesion of each case. docs/evaluation.md says which, and why.
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass

import numpy as np

from skinflow_jax.evaluation.intervals import (
    CONFIDENCE,
    RESAMPLES,
    Share,
    difference_interval,
    share_interval,
    studentised_interval,
)

MAX_RANK = 6
FEW = 20
"""Below as many groups a figure is marked: its interval holds, but hardly says anything."""

EXACT = "Clopper-Pearson"
EFFECTIVE = "Clopper-Pearson, effective size"
SQUARE_AND_ADD = "square and add"
BOOTSTRAP = "bootstrap-t"
NO_INTERVAL = "none"


@dataclass(frozen=True)
class Estimate:
    """A figure over `n` cases with the ends of its interval, which goes by `groups` groups.

    All three are NaN where n is 0; the ends also where nothing can be said (`method` is "none").
    `groups` of None: each case is its own.
    """

    value: float
    low: float
    high: float
    n: int
    groups: int | None = None
    method: str = NO_INTERVAL

    @property
    def few(self) -> bool:
        """Whether there are fewer than `FEW` groups."""
        return (self.n if self.groups is None else self.groups) < FEW

    def to_dict(self) -> dict:
        """What metrics.json holds: null for NaN, which JSON has not."""
        return _stated(self)


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `after - before` on the same `n` cases, with its interval as in `Estimate`.

    `gained` and `lost` count the cases that went up and down: for 0/1 values the discordant pairs.
    """

    mean: float
    low: float
    high: float
    n: int
    gained: int
    lost: int
    groups: int | None = None
    method: str = NO_INTERVAL

    @property
    def beyond_interval(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def few(self) -> bool:
        """Whether there are fewer than `FEW` groups."""
        return (self.n if self.groups is None else self.groups) < FEW

    def to_dict(self) -> dict:
        """As that of `Estimate`."""
        return _stated(self)


def _stated(figure: Estimate | PairedDifference) -> dict:
    values = {name: None if value != value else value for name, value in asdict(figure).items()}
    return values | {"few": figure.few}


@dataclass(frozen=True)
class MajorityBaseline:
    """What answering the most frequent training class every time would reach."""

    label: str
    accuracy: Estimate


def top_k(ranks: Sequence[int | None], k: int) -> np.ndarray:
    """1 where the first accepted diagnosis is at rank k or better, else 0: float64 `[n]`.

    `ranks` count from 1; None: none of the diagnoses was accepted, or the answer was invalid.
    """
    if k < 1 or any(rank is not None and rank < 1 for rank in ranks):
        raise ValueError(f"ranks and k count from 1; k={k}, ranks={list(ranks)[:10]} …")
    return np.array([rank is not None and rank <= k for rank in ranks], dtype=np.float64)


def top_k_estimates(ranks: Sequence[int | None], **options) -> tuple[Estimate, ...]:
    """Top-1 … Top-6; `options` are those of `mean_with_interval`."""
    return tuple(mean_with_interval(top_k(ranks, k), **options) for k in range(1, MAX_RANK + 1))


def mean_with_interval(
    values: Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of `values` `[n]`: a share where all are 0 or 1, else of scores.

    Scores that do not vary at all have the interval of a share where they are in [0, 1], and none
    elsewhere: what other values there could be is not known.
    Raises ValueError on a value that is not finite: leave out what was not scored.
    """
    values = _finite(values)
    numbers = case_numbers(groups, len(values))

    def as_share() -> Share:
        return share_interval(values, *_one_class(values), numbers, confidence)

    exact = EXACT if _alone(numbers) and np.isin(values, (0, 1)).all() else EFFECTIVE
    options = {"confidence": confidence, "resamples": resamples, "seed": seed}
    return _mean(values, numbers, 0, as_share, exact, options)


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Difference of two measurements `[n]` of the same cases in the same order."""
    change = _change(before, after)
    numbers = case_numbers(groups, len(change))

    def as_shares() -> Share:
        return difference_interval(*_gains_losses(change), *_one_class(change), numbers, confidence)

    options = {"confidence": confidence, "resamples": resamples, "seed": seed}
    return _paired(_mean(change, numbers, -1, as_shares, SQUARE_AND_ADD, options), change)


def mcnemar_p_value(gained: int, lost: int) -> float:
    """Two-sided exact p-value of the discordant counts: are gains as likely as losses?

    The binomial test of min(gained, lost) in gained + lost at 1/2, in exact integers.
    """
    discordant = gained + lost
    tail, term = 0, 1
    for i in range(min(gained, lost) + 1):
        tail += term
        term = term * (discordant - i) // (i + 1)
    return min(1.0, 2 * tail / 2**discordant)


def macro_recall(
    references: Sequence[str],
    correct: Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Mean over the reference classes of the share of `correct` (in [0, 1], `[n]`) cases in each.

    "Correct" is the caller's to define: the same label, an accepted diagnosis, a mean over seeds.
    Classes are those that occur: nothing is said of one without a case.
    """
    correct = _same_length(_finite(correct), references)
    if ((correct < 0) | (correct > 1)).any():
        raise ValueError("correct must be in [0, 1]; differences: macro_recall_difference")
    classes, numbers = case_numbers(references, len(correct)), case_numbers(groups, len(correct))
    if not len(correct):
        return _nothing()
    found = share_interval(correct, np.ones(len(correct)), classes, numbers, confidence)
    return _estimate(found, len(correct), numbers, EFFECTIVE)


def macro_recall_difference(
    references: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = CONFIDENCE,
) -> PairedDifference:
    """`macro_recall` of `after` less that of `before`, on the same cases in the same order."""
    change = _same_length(_change(before, after), references)
    classes, numbers = case_numbers(references, len(change)), case_numbers(groups, len(change))
    if not len(change):
        return _paired(_nothing(), change)
    found = difference_interval(
        *_gains_losses(change), np.ones(len(change)), classes, numbers, confidence
    )
    return _paired(_estimate(found, len(change), numbers, SQUARE_AND_ADD), change)


def macro_f1(
    references: Sequence[str],
    predictions: Sequence[str | None],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Mean of F1 = 2 TP / (2 TP + FP + FN) over the reference classes.

    A prediction outside of them, or None (invalid), is a miss of its reference's class and no
    class's false alarm.
    """
    count = len(_same_length(predictions, references))
    if not count:
        return _nothing()
    names = {name: number for number, name in enumerate(sorted(set(references)))}
    own = np.array([names[name] for name in references])
    claimed = np.array([names.get(name, -1) for name in predictions])
    known, numbers = claimed >= 0, case_numbers(groups, count)
    # 2 TP + FP + FN = cases of the class + cases claimed: each of both is half a case.
    halves = [np.where(part, 0.5, 0.0) for part in (claimed == own, (claimed == own)[known])]
    found = share_interval(
        np.concatenate(halves),
        np.full(count + known.sum(), 0.5),
        np.concatenate([own, claimed[known]]),
        np.concatenate([numbers, numbers[known]]),
        confidence,
    )
    return _estimate(found, count, numbers, EFFECTIVE)


def majority_baseline(
    training_labels: Sequence[str],
    heldout_labels: Sequence[str],
    accepted: Callable[[str, str], bool] = operator.eq,
    **options,
) -> MajorityBaseline:
    """Held-out accuracy of the most frequent *training* class (the first by name among equals).

    `accepted(answer, reference)`: whether an answer is right.
    """
    if not len(training_labels):
        raise ValueError("no training labels: the majority class is unknown")
    labels, counts = np.unique(np.asarray(training_labels, dtype=str), return_counts=True)
    label = str(labels[counts.argmax()])
    return MajorityBaseline(
        label, mean_with_interval([accepted(label, each) for each in heldout_labels], **options)
    )


def _finite(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(
            f"need finite values [n], got shape {values.shape} with "
            f"{int((~np.isfinite(values)).sum())} not finite: leave out what was not scored"
        )
    return values


def _change(before: Sequence[float], after: Sequence[float]) -> np.ndarray:
    if len(before) != len(after):
        raise ValueError(f"{len(before)} cases before, {len(after)} after: pairs need equal cases")
    return _finite(after) - _finite(before)


def _same_length(rows, references):
    if len(rows) != len(references):
        raise ValueError(f"{len(references)} references, {len(rows)} predictions")
    return rows


def case_numbers(labels: Sequence[str] | None, n: int) -> np.ndarray:
    """Of each of n cases its label's number, from 0; each its own where there are no labels."""
    if labels is None:
        return np.arange(n)
    if len(labels) != n:
        raise ValueError(f"{len(labels)} groups of {n} cases: each case has one")
    places: dict[str, int] = {}
    return np.array([places.setdefault(label, len(places)) for label in labels], dtype=int)


def _one_class(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and classes of cases that are all of one class."""
    return np.ones(len(values)), np.zeros(len(values), dtype=int)


def _gains_losses(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(change, 0), np.maximum(-change, 0)


def _count(numbers: np.ndarray) -> int:
    return int(numbers.max()) + 1 if len(numbers) else 0


def _alone(numbers: np.ndarray) -> bool:
    return _count(numbers) == len(numbers)


def _mean(
    values: np.ndarray,
    numbers: np.ndarray,
    least: float,
    as_shares: Callable[[], Share],
    method: str,
    options: dict,
) -> Estimate:
    """Whole values in [least, 1] by `as_shares`, others by the bootstrap where it can be."""
    if not len(values):
        return _nothing()
    inside = bool(((values >= least) & (values <= 1)).all())
    if not inside or (values != np.rint(values)).any():
        low, high = studentised_interval(values, numbers, **options)
        value, found = math.fsum(values) / len(values), BOOTSTRAP
        if inside:
            low, high = max(low, least), min(high, 1.0)
        if math.isnan(low):
            found = NO_INTERVAL
        if found == BOOTSTRAP or not inside:
            return Estimate(value, low, high, len(values), _count(numbers), found)
    return _estimate(as_shares(), len(values), numbers, method)


def _estimate(found: Share, n: int, numbers: np.ndarray, method: str) -> Estimate:
    return Estimate(found.value, found.low, found.high, n, _count(numbers), method)


def _paired(estimate: Estimate, change: np.ndarray) -> PairedDifference:
    value, low, high, n, groups, method = astuple(estimate)
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    return PairedDifference(value, low, high, n, gained, lost, groups, method)


def _nothing() -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, 0, 0, NO_INTERVAL)
