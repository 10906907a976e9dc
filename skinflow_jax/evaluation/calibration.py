"""Whether the confidence in the first diagnosis is worth its number: ECE, reliability, coverage.

Expected calibration error as Naeini et al. (AAAI 2015), in bins of equal mass (Nguyen & O'Connor,
EMNLP 2015); risk-coverage curve and its area as Geifman & El-Yaniv (NeurIPS 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skinflow_jax.evaluation.figures import groups_of
from skinflow_jax.evaluation.intervals import (
    CONFIDENCE,
    RESAMPLES,
    clopper_pearson,
    group_resamples,
)
from skinflow_jax.evaluation.metrics import Estimate, case_numbers, mean_with_interval
from skinflow_jax.evaluation.predictions import Prediction

BINS = 10
POINTS = 20
"""Of the risk-coverage curve that is written down."""
LEVELS = 200
"""Of confidence, that the interval of the area tells apart."""
_CELLS = 400_000

TRIANGLE = "bootstrap, triangle inequality"
PERCENTILE = "bootstrap percentile"


@dataclass(frozen=True)
class Bin:
    """Cases of like confidence: its mean, and the share of first diagnoses that were accepted."""

    confidence: float
    accuracy: Estimate


@dataclass(frozen=True)
class Calibration:
    """Of the first diagnoses whose confidence is known.

    Attributes:
      bins: by rising confidence, of about equal numbers of cases.
      ece: the expected calibration error over them.
      overconfidence: mean confidence less accuracy.
      coverage, risk: shares of cases, the surest first, and how many of these are wrong.
      aurc: area under that curve; `Estimate.value` of one that sorts nothing is the error rate.
      without: diagnoses whose confidence is not known: refused answers, and those not told.
    """

    bins: tuple[Bin, ...]
    ece: Estimate
    overconfidence: Estimate
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    aurc: Estimate
    without: int

    def to_dict(self) -> dict:
        """What metrics.json holds."""
        return {
            "ECE": self.ece.to_dict(),
            "overconfidence": self.overconfidence.to_dict(),
            "AURC": self.aurc.to_dict(),
            "bins": [{"confidence": b.confidence} | b.accuracy.to_dict() for b in self.bins],
            "risk coverage": {"coverage": list(self.coverage), "risk": list(self.risk)},
            "without": self.without,
        }


def calibration(diagnoses: Sequence[Prediction]) -> Calibration | None:
    """None where no confidence is known."""
    known = [p for p in diagnoses if p.confidence is not None]
    if not known:
        return None
    sure = np.array([p.confidence for p in known], float)
    right = np.array([p.rank == 1 for p in known], float)
    groups = groups_of(known)
    numbers, place = case_numbers(groups, len(known)), bins_of(sure)
    bins = []
    for number in range(place.max() + 1):
        inside = np.flatnonzero(place == number)
        own = [groups[i] for i in inside]
        accuracy = mean_with_interval(right[inside], groups=own)
        bins.append(Bin(float(sure[inside].mean()), accuracy))
    coverage = np.linspace(1 / POINTS, 1, POINTS)
    return Calibration(
        tuple(bins),
        calibration_error(sure, right, numbers),
        mean_with_interval(sure - right, groups=groups),
        tuple(map(float, coverage)),
        tuple(map(float, risk_at(coverage, sure, right))),
        area_under_risk(sure, right, numbers),
        len(diagnoses) - len(known),
    )


def bins_of(confidence: np.ndarray, count: int = BINS) -> np.ndarray:
    """Of each of `[n]` its bin, from 0 by rising confidence; equal confidences are in one bin."""
    inner = np.quantile(confidence, np.linspace(0, 1, count + 1)[1:-1], method="lower")
    _, place = np.unique(np.searchsorted(inner, confidence, side="left"), return_inverse=True)
    return place


def calibration_error(
    sure: np.ndarray, right: np.ndarray, groups: np.ndarray, resamples: int = RESAMPLES
) -> Estimate:
    """Sum over bins of |mean of right - sure| times their share of the cases; all `[n]`.

    The figure of a sample lies above that of all cases, since noise counts as error in each bin:
    its own bootstrap would be no interval. By the triangle inequality both differ by at most the
    same sum over the noise alone, whose 95th percentile over resampled groups is taken (our
    choice: it covers, and rather too much); a group that was not seen yet is added.
    """
    n, count, place = len(sure), int(groups.max()) + 1, bins_of(sure)
    errors = np.zeros((count, place.max() + 1))
    np.add.at(errors, (groups, place), right - sure)
    sizes = np.bincount(groups, minlength=count).astype(float)
    found = errors.sum(axis=0) / n
    noise = [
        np.abs(counts @ errors / (counts @ sizes)[:, None] - found).sum(axis=1)
        for counts in group_resamples(count, resamples)
    ]
    value = float(np.abs(found).sum())
    reach = float(np.quantile(np.concatenate(noise), CONFIDENCE, method="higher"))
    reach = max(reach, clopper_pearson(0, count)[1])
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), n, count, TRIANGLE)


def risk_at(coverage: np.ndarray, sure: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of the surest `coverage` of the cases the share that is wrong; equal ones are mixed."""
    ends, wrong = _accumulated(sure, right, np.ones((1, len(sure))))
    kept = coverage * len(sure)
    return np.interp(kept, np.r_[0.0, ends[0]], np.r_[0.0, wrong[0]]) / kept


def area_under_risk(
    sure: np.ndarray, right: np.ndarray, groups: np.ndarray, resamples: int = RESAMPLES
) -> Estimate:
    """The area with the percentiles of resampled groups, and what was not seen yet above them."""
    count = int(groups.max()) + 1
    value = float(area(sure, right, np.ones((1, len(sure))))[0])
    levels = bins_of(sure, LEVELS)  # of the order alone, which is all that the area goes by
    drawn = [
        area(levels, right, rows[:, groups])
        for counts in group_resamples(count, resamples)
        for rows in np.array_split(counts, -(-counts.size // _CELLS))
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail], method="weibull")
    unseen = clopper_pearson(0, count)[1]
    high = min(1.0, max(float(high), value, unseen))
    return Estimate(value, min(float(low), value), high, len(sure), count, PERCENTILE)


def area(sure: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the risk-coverage curve of cases `[n]` with each of the weights `[R, n]`: `[R]`.

    Between two confidences the wrong ones come evenly: wrong(t) / t is integrated as it is, the
    limit of infinitely many cases.
    """
    ends, wrong = _accumulated(sure, right, weights)
    begins, before = (np.pad(x, ((0, 0), (1, 0)))[:, :-1] for x in (ends, wrong))
    width = ends - begins
    slope = np.divide(wrong - before, width, out=np.zeros_like(width), where=width > 0)
    both = (begins > 0) & (width > 0)
    stretch = np.log(np.divide(ends, begins, out=np.ones_like(ends), where=both))
    return ((before - slope * begins) * stretch + slope * width).sum(axis=1) / ends[:, -1]


def _accumulated(
    sure: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights, and those of wrong cases, up to each confidence from the surest on: `[R, K]`."""
    order = np.argsort(-sure, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(sure[order]) != 0])
    parts = [
        np.add.reduceat(weights[:, order] * each, starts, axis=1)
        for each in (1.0, 1 - right[order])
    ]
    return np.cumsum(parts[0], axis=1), np.cumsum(parts[1], axis=1)
