"""A map of attention in numbers: how spread out it is, and how much of it lies on the lesion."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from skinflow_jax.evaluation.metrics import (
    Estimate,
    PairedDifference,
    mean_with_interval,
    paired_difference,
)

FIGURES = ("image", "entropy", "top tenth", "inside", "area", "excess", "ratio")
"""Of the attention of a query:

image: its share that goes to image tokens, the rest goes to text. The others are of that share:
entropy: over image tokens, divided by its greatest value: 1 is even, 0 a single token.
top tenth: the share of the tenth of the tokens that have most; 0.1 is even.
inside: the share inside the lesion's mask; area: that of an even map, the mask's part of the image;
excess: inside less area; ratio: inside by area. Of image 0 alone, to which the mask belongs.
"""


def figures_of(
    rows: Float[np.ndarray, "*lead T"], covered: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "*lead F"]:
    """`FIGURES` of rows of attention over the image tokens of a case; NaN where there is none.

    `covered`: of each token the share inside the mask, NaN for those of images without one. A mask
    that covers nothing is none.
    """
    rows = np.asarray(rows, np.float64)
    image = rows.sum(axis=-1)
    found = np.full((*rows.shape[:-1], len(FIGURES)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        even = np.where(image[..., None] > 0, rows / image[..., None], np.nan)
        found[..., 0] = np.where(image > 0, image, np.nan)
        found[..., 1], found[..., 2] = _entropy(even), _top_tenth(even)
        if np.nansum(covered) > 0:
            known = ~np.isnan(covered)
            here, covered = even[..., known], covered[known]
            inside = (here * covered).sum(axis=-1) / here.sum(axis=-1)
            area = np.where(np.isnan(inside), np.nan, covered.mean())
            found[..., 3:] = np.stack([inside, area, inside - area, inside / area], axis=-1)
    return found


def _entropy(shares):
    tokens = shares.shape[-1]
    if tokens == 1:
        return np.where(np.isnan(shares[..., 0]), np.nan, 1.0)
    terms = np.where(shares > 0, -shares * np.log(np.where(shares > 0, shares, 1)), shares)
    return terms.sum(axis=-1) / np.log(tokens)


def _top_tenth(shares):
    """Of a number of tokens that no tenth divides, part of the next one too."""
    falling = -np.sort(-shares, axis=-1)
    whole, rest = divmod(shares.shape[-1], 10)
    return falling[..., :whole].sum(axis=-1) + falling[..., whole] * rest / 10


def estimate(values: Sequence[float], groups: Sequence[str]) -> Estimate:
    """The mean over the cases that have the figure."""
    known = np.isfinite(values)
    return mean_with_interval(np.asarray(values)[known], groups=_chosen(groups, known))


def change(
    before: Sequence[float], after: Sequence[float], groups: Sequence[str]
) -> PairedDifference:
    """`after` less `before`, over the cases that have the figure in both."""
    before, after = np.asarray(before), np.asarray(after)
    known = np.isfinite(before) & np.isfinite(after)
    return paired_difference(before[known], after[known], groups=_chosen(groups, known))


def _chosen(groups, known):
    return [group for group, there in zip(groups, known, strict=True) if there]
