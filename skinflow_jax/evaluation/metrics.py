"""Figures of an evaluation with their uncertainty, from results case by case (NumPy only).

All intervals are percentile bootstrap over cases (Efron & Tibshirani, ch. 13), the same for the
same seed. Without variance among the cases they have no width: 0 of n gives [0, 0]; look at n.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MAX_RANK = 6
CONFIDENCE = 0.95
RESAMPLES = 2000
_CELLS = 4_000_000  # of a chunk of resamples: 32 MB


@dataclass(frozen=True)
class Estimate:
    """A figure over `n` cases with the ends of its interval; NaN where n is 0."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `after - before` on the same `n` cases, with its interval.

    `gained` and `lost` count the cases that went up and down: for 0/1 values the discordant pairs.
    """

    mean: float
    low: float
    high: float
    n: int
    gained: int
    lost: int

    @property
    def beyond_interval(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


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
    """Top-1 … Top-6; `options` are those of `bootstrap_interval`."""
    return tuple(mean_with_interval(top_k(ranks, k), **options) for k in range(1, MAX_RANK + 1))


def bootstrap_interval(
    values: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean of `values` `[n]`; (NaN, NaN) for n = 0.

    Raises ValueError on a value that is not finite: leave out what was not scored.
    """
    values = _finite(values)
    return _interval(
        lambda counts: counts @ values / len(values), len(values), confidence, resamples, seed
    )


def mean_with_interval(values: Sequence[float], **options) -> Estimate:
    """Mean of `values` `[n]` as an Estimate; `options` are those of `bootstrap_interval`."""
    values = _finite(values)
    mean = float(values.mean()) if len(values) else math.nan
    return Estimate(mean, *bootstrap_interval(values, **options), len(values))


def safety_critical_rate(flags: Sequence[bool], **options) -> Estimate:
    """Share of the cases whose first diagnosis is a safety-critical error (see Relation)."""
    return mean_with_interval(np.asarray(flags, dtype=bool), **options)


def paired_difference(
    before: Sequence[float], after: Sequence[float], **options
) -> PairedDifference:
    """Difference of two measurements `[n]` of the same cases in the same order."""
    if len(before) != len(after):
        raise ValueError(f"{len(before)} cases before, {len(after)} after: pairs need equal cases")
    change = _finite(after) - _finite(before)
    estimate = mean_with_interval(change, **options)
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    return PairedDifference(estimate.value, estimate.low, estimate.high, estimate.n, gained, lost)


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
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean over the reference classes of the share of `correct` (0/1, `[n]`) cases in each.

    "Correct" is the caller's to define: the same label, or an accepted diagnosis; of differences
    between two policies it is that of their recalls. `groups` `[n]` (patients, lesions): a resample
    draws all cases of a group together, and the Estimate's n counts groups. A class that a resample
    has no case of is left out of that resample's mean (our choice).
    """
    correct = _finite(correct)
    members = _membership(references, references)
    hits = members * _same_length(correct, members)[:, None]
    if groups is not None:
        _same_length(np.asarray(groups), members)
        hits, members = _summed(hits, groups), _summed(members, groups)

    def statistic(counts: np.ndarray) -> np.ndarray:
        return _mean_over_present(counts @ hits, counts @ members)

    return _estimate(statistic, len(members), confidence, resamples, seed)


def macro_f1(
    references: Sequence[str],
    predictions: Sequence[str | None],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of F1 = 2 TP / (2 TP + FP + FN) over the reference classes.

    A prediction outside of them, or None (invalid), is a miss of its reference's class and no
    class's false alarm. Resamples are treated as in `macro_recall`.
    """
    members = _membership(references, references)
    claimed = _same_length(_membership(references, predictions), members)
    hits = members * claimed

    def statistic(counts: np.ndarray) -> np.ndarray:
        # 2 TP + FP + FN = (TP + FP) + (TP + FN) = cases claimed + cases of the class
        support = counts @ members
        f1 = np.divide(
            2 * (counts @ hits),
            support + counts @ claimed,
            where=support > 0,
            out=np.zeros_like(support),
        )
        return _mean_over_present(f1 * support, support)

    return _estimate(statistic, len(members), confidence, resamples, seed)


def majority_baseline(
    training_labels: Sequence[str], heldout_labels: Sequence[str], **options
) -> MajorityBaseline:
    """Held-out accuracy of the most frequent *training* class (the first by name among equals)."""
    if not len(training_labels):
        raise ValueError("no training labels: the majority class is unknown")
    labels, counts = np.unique(np.asarray(training_labels, dtype=str), return_counts=True)
    label = str(labels[counts.argmax()])
    return MajorityBaseline(
        label, mean_with_interval([label == other for other in heldout_labels], **options)
    )


def _finite(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(
            f"need finite values [n], got shape {values.shape} with "
            f"{int((~np.isfinite(values)).sum())} not finite: leave out what was not scored"
        )
    return values


def _same_length(rows: np.ndarray, members: np.ndarray) -> np.ndarray:
    if len(rows) != len(members):
        raise ValueError(f"{len(members)} references, {len(rows)} predictions")
    return rows


def _membership(references: Sequence[str], labels: Sequence[str | None]) -> np.ndarray:
    """`[n, C]`, 1 where a label is that reference class; a label of no class has a row of 0."""
    classes = sorted(set(references))
    return np.array([[label == c for c in classes] for label in labels], dtype=np.float64).reshape(
        len(labels), len(classes)
    )


def _summed(rows: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """The rows of each group added up: `[n, C]` → `[groups, C]`."""
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, group, rows)
    return sums


def _mean_over_present(totals: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Per resample, the mean over classes with support of totals / support: `[R, C]` → `[R]`."""
    present = support > 0
    shares = np.divide(totals, support, where=present, out=np.zeros_like(totals))
    return shares.sum(axis=1) / present.sum(axis=1)


def _estimate(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    confidence: float,
    resamples: int,
    seed: int,
) -> Estimate:
    value = float(statistic(np.ones((1, n)))[0]) if n else math.nan
    return Estimate(value, *_interval(statistic, n, confidence, resamples, seed), n)


def _interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """`statistic`: how often each case was drawn, `[R, n]` → its value in each resample, `[R]`."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must lie between 0 and 1")
    if n == 0:
        return math.nan, math.nan
    values = np.concatenate([statistic(counts) for counts in _resamples(n, resamples, seed)])
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _resamples(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n cases is drawn when n are drawn with replacement, in chunks `[R, n]`."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // n)
    for first in range(0, resamples, chunk):
        rows = min(chunk, resamples - first)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
