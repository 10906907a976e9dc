"""Buckets for given images: the fewest that keep padding small where batches are of like sizes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skinflow_jax.data.buckets import Buckets, Needs
from skinflow_jax.errors import ConfigError

MOST_BUCKETS = 12


@dataclass(frozen=True)
class Padding:
    """Shares of batches that hold nothing: of prompt tokens, and of the windows of images.

    A window at an image's edge counts as used however little of the image lies in it: that share is
    of the images' sizes and no batch changes it.
    """

    tokens: float
    windows: float


def padding(needs: Sequence[Needs], batch_size: int, buckets: Buckets) -> Padding:
    """Of consecutive batches of prompts with these needs, each batch in its smallest shape."""
    used, made = np.zeros(2), np.zeros(2)
    for start in range(0, len(needs), batch_size):
        batch = needs[start : start + batch_size]
        shape = buckets.smallest(batch)
        used += [
            sum(need.length for need in batch),
            sum(need.windows * need.images for need in batch),
        ]
        made += len(batch) * np.array([shape.length, shape.windows * shape.images])
    return Padding(*(1 - used / made))


def plan_buckets(
    needs: Iterable[Needs], completion_length: int, *, most_padding: float = 0.1
) -> Buckets:
    """The fewest prompt lengths and windows that pad at most this share of each.

    That is what batches of like sizes have (`data.like_sizes`); mixed batches pad more. Each
    further bucket is programs to compile.

    Args:
      needs: of the prompts, each as often as it is drawn.
      completion_length: tokens, handed on.
      most_padding: share of the tokens and of the windows.

    Raises ConfigError where `MOST_BUCKETS` of a kind are not enough.
    """
    lengths, windows, images = zip(*needs, strict=True)
    return Buckets(
        _fewest(lengths, most_padding, "prompt lengths"),
        _fewest(windows, most_padding, "windows"),
        completion_length,
        tuple(sorted(set(images))),
    )


def _fewest(sizes: Sequence[int], most_padding: float, what: str) -> tuple[int, ...]:
    values, counts = np.unique(np.array(sizes), return_counts=True)
    used = values @ counts
    for chosen, made in _best(values, counts):
        if 1 - used / made <= most_padding:
            return chosen
    raise ConfigError(
        f"{len(chosen)} {what} pad {1 - used / made:.0%}, more than {most_padding:.0%}: allow more"
    )


def _best(values: np.ndarray, counts: np.ndarray) -> Iterator[tuple[tuple[int, ...], float]]:
    """For one bucket, two, …: the buckets that make the least, and how much they make.

    A bucket is the largest of the sizes that it holds, so that sorted sizes are cut into parts; the
    best cut of the first n sizes into k parts is the best cut of some fewer into k - 1, and a part.
    """
    before = np.concatenate([[0], np.cumsum(counts)])
    # made[n]: by the first n sizes; cost[m, n]: of a part from size m up to n, not included.
    cost = (before[None, :] - before[:, None])[:-1, 1:] * values[None, :]
    cost = np.where(np.tri(len(values), k=-1, dtype=bool), np.inf, cost)
    made = cost[0]
    cuts = [(int(value),) for value in values]
    yield cuts[-1], made[-1]
    for _ in range(min(MOST_BUCKETS, len(values)) - 1):
        # One part fewer for the first m sizes, then a part from m on.
        totals = np.concatenate([[np.inf], made[:-1]])[:, None] + cost
        best = np.argmin(totals, axis=0)
        better = totals[best, np.arange(len(values))]
        cuts = [
            (*cuts[m - 1], int(values[n])) if better[n] < made[n] else cuts[n]
            for n, m in enumerate(best)
        ]
        made = np.minimum(made, better)
        yield cuts[-1], made[-1]
