"""Intervals that cover: of shares, of means and of differences, by groups of cases.

What was drawn independently is a group: a patient or a lesion with all its cases. Which interval is
which, from whom, and how often each covers the truth: docs/evaluation.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtrit

CONFIDENCE = 0.95
RESAMPLES = 2000
_CELLS = 4_000_000  # of a chunk of resamples: 32 MB


@dataclass(frozen=True)
class Share:
    """A share with the ends of its interval; `residuals` `[G]` are each group's part in its error.

    With ends of NaN nothing is known: there was no case, or no bound of the values and no variance.
    """

    value: float
    low: float
    high: float
    residuals: np.ndarray


def clopper_pearson(successes: float, n: float, confidence: float = CONFIDENCE):
    """(low, high) of `successes` in `n` independent cases (Clopper & Pearson, Biometrika 1934).

    Both may be fractions: an effective size.
    """
    _check(confidence)
    tail, failures = (1 - confidence) / 2, n - successes
    low = betaincinv(successes, failures + 1, tail) if successes > 0 else 0.0
    high = betaincinv(successes + 1, failures, 1 - tail) if failures > 0 else 1.0
    return float(low), float(high)


def share_interval(
    hits: np.ndarray,
    sizes: np.ndarray,
    classes: np.ndarray,
    groups: np.ndarray,
    confidence: float = CONFIDENCE,
) -> Share:
    """Mean over classes of Σ hits / Σ sizes, in [0, 1], by Clopper-Pearson of an effective size.

    Korn & Graubard (Survey Methodology 1998): as many independent cases as would leave the variance
    that the groups show. To that variance one more group is added that answers alike, as Clopper
    and Pearson add a case: what was not seen yet is not impossible. A class's own share, which
    would have no variance where it is 0 or 1, is drawn towards the mean of all by two effective
    cases. (Both are our choices.) With one class, hits of 0 or 1 and a group for each case it is
    `clopper_pearson`; with groups of one size that answer alike it is that of the groups.

    Args:
      hits, sizes: `[E]` entries, a case or a part of one: 0 <= hits <= sizes.
      classes, groups: `[E]`, numbers from 0 without a gap.
    """
    support = np.bincount(classes, sizes)
    shares = np.bincount(classes, hits) / support
    value, weights = float(shares.mean()), 1 / (len(support) * support)
    residuals = np.bincount(groups, (hits - shares[classes] * sizes) * weights[classes])
    case = (weights**2 * support).sum()
    group = _typical_group(sizes * weights[classes], classes, groups, weights)
    independent = (weights**2 * support * shares * (1 - shares)).sum()
    design_effect = ((residuals**2).sum() + group**2) / (independent + group * case)
    two = 2 * design_effect
    drawn = (shares * support + two * value) / (support + two)
    spread = value * (1 - value)
    relative = drawn * (1 - drawn) / spread if spread else np.ones_like(drawn)
    n = 1 / (design_effect * (weights**2 * support * relative).sum())
    low, high = clopper_pearson(n * value, n, confidence)
    return Share(value, min(low, value), max(high, value), residuals)


def _typical_group(
    parts: np.ndarray, classes: np.ndarray, groups: np.ndarray, weights: np.ndarray
) -> float:
    """What a group weighs in the figure.

    In a class it is the mean over cases of their group's weight (Kish), never less than a case;
    of the classes the mean in which each counts by that weight: a rare class has heavy cases.
    `parts` `[E]` are the weights of entries, `weights` `[C]` those of whole cases.
    """
    count = len(weights)
    pairs, place = np.unique(groups * count + classes, return_inverse=True)
    squares = np.bincount(pairs % count, np.bincount(place, parts) ** 2, minlength=count)
    typical = np.maximum(squares * count, weights)
    return float((typical**2).sum() / typical.sum())


def difference_interval(
    gains: np.ndarray,
    losses: np.ndarray,
    sizes: np.ndarray,
    classes: np.ndarray,
    groups: np.ndarray,
    confidence: float = CONFIDENCE,
) -> Share:
    """Share of `gains` less that of `losses`, in [-1, 1], from the intervals of both.

    "Square and add" (Newcombe, Statistics in Medicine 1998, paired; Zou & Donner, ibid. 2008) with
    the correlation of the two; one above 0 is not trusted (our choice). Arguments are those of
    `share_interval`. It has a width where nothing was gained or lost.
    """
    up = share_interval(gains, sizes, classes, groups, confidence)
    down = share_interval(losses, sizes, classes, groups, confidence)
    scale = np.linalg.norm(up.residuals) * np.linalg.norm(down.residuals)
    correlation = min(0.0, float(up.residuals @ down.residuals / scale)) if scale else 0.0

    def distance(a: float, b: float) -> float:
        return math.sqrt(a**2 + b**2 - 2 * correlation * a * b)

    value = up.value - down.value
    low = value - distance(up.value - up.low, down.high - down.value)
    high = value + distance(up.high - up.value, down.value - down.low)
    return Share(value, max(low, -1.0), min(high, 1.0), up.residuals - down.residuals)


def studentised_interval(
    values: np.ndarray,
    groups: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean of `values` `[n]` by the bootstrap-t over groups, numbers from 0.

    Efron & Tibshirani, An Introduction to the Bootstrap, 12.5; DiCiccio & Efron (Statistical
    Science 1996). To the squares of a resample those of one average group of the sample are added,
    so that one that drew equal values only does not decide (our choice). The same for the same
    seed, whatever the order of cases and groups. (NaN, NaN) where the groups do not differ.
    """
    _check(confidence)
    order = np.lexsort((values, groups))
    values, groups = values[order], groups[order]
    sizes, mean = np.bincount(groups).astype(np.float64), math.fsum(values) / len(values)
    errors = np.bincount(groups, values - mean)
    order = np.lexsort((sizes, errors))
    sizes, errors = sizes[order], errors[order]
    squares = (errors**2).sum()
    if np.sqrt(squares) <= 1e-12 * np.abs(values).sum():
        return math.nan, math.nan
    terms = np.stack([sizes, errors, errors**2, errors * sizes, sizes**2], axis=1)
    found = []
    for counts in group_resamples(len(sizes), resamples, seed):
        n, error, square, product, size = (counts @ terms).T
        shift = error / n
        spread = square - 2 * shift * product + shift**2 * size
        spread = (np.maximum(spread, 0) * len(sizes) + squares) / (len(sizes) + 1)
        found.append(error / np.sqrt(spread))
    tail = (1 - confidence) / 2
    # The (R + 1) tail-th from either end (Davison & Hinkley 1997, 2.4): few do not make it narrow.
    below, above = np.quantile(np.concatenate(found), [tail, 1 - tail], method="weibull")
    unit = math.sqrt(squares) / len(values)
    return mean - max(float(above), 0.0) * unit, mean - min(float(below), 0.0) * unit


def t_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Student's of the mean of a few runs, such as seeds; (NaN, NaN) where all are equal or one."""
    _check(confidence)
    mean = math.fsum(values) / len(values)
    if len(values) < 2 or np.ptp(values) <= 1e-12 * np.abs(values).max():
        return math.nan, math.nan
    unit = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = unit * float(stdtrit(len(values) - 1, (1 + confidence) / 2))
    return mean - half, mean + half


def group_resamples(n: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each of n groups is drawn when n are drawn with replacement, in chunks `[R, n]`."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // n)
    for first in range(0, resamples, chunk):
        rows = min(chunk, resamples - first)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must lie between 0 and 1")
