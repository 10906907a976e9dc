"""Images that show the same scene: copies that were compressed, resized, rotated, cropped.

A hash proposes and correlation decides. Hashes alone link what merely looks alike: naevi under a
dermatoscope are all dark blobs in the middle. So does correlation of whole images. What tells
scenes apart is their detail, and that can be compared only after the two are aligned. It has to
agree everywhere: frames, rulers and backdrops that two images share outweigh a small lesion.

The figures below were chosen on the 10,015 images of HAM10000; `benchmarks/near_duplicates.py`
prints what they find and what they link wrongly.
"""

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from skinflow_jax.data.splitting.alignment import (
    align,
    least_local_correlation,
    shrunk,
    smooth,
    zoomed,
)
from skinflow_jax.data.splitting.signatures import ORIENTATIONS, Signature, oriented

MOST_PERCEPTUAL = 22
MOST_BOTH = 32
"""Bits of 64, and of 128 of both hashes, that may differ: what a crop of 5 % off a corner needs."""
LEAST_UNALIGNED = 0.90
"""Correlation at 16 by 16 pixels of two images as they are, or of one with the other's middle."""
MIDDLE = 0.9
"""Of the sides: what a crop of 5 % leaves; where the alignment starts when it fits better."""


@dataclass(frozen=True)
class Stage:
    """Alignment at one size: what remains goes on to the next.

    Attributes:
        size: of the square images, pixels.
        steps: of the alignment.
        least: correlation of those that remain.
        detail: whether only what is finer than two pixels is compared.
    """

    size: int
    steps: int
    least: float
    detail: bool = False

    def seen(self, images: np.ndarray) -> np.ndarray:
        """What is compared of the images, `[B, size, size]`; smoothed, as a crop is resampled."""
        return smooth(images, 1) - smooth(images, 5) if self.detail else smooth(images, 1)


STAGES = (
    Stage(16, 3, 0.98),
    Stage(32, 3, 0.985),
    Stage(64, 2, 0.98),
    Stage(64, 1, 0.90, detail=True),
)
"""From coarse to fine: most candidates fall at the first."""
LEAST_LOCAL = 0.5
NOISE = 3.0
"""Local correlation of the detail where it is worst, and the grey levels that noise may have."""
_ROWS = 32  # hashes compared with all others at a time: the block stays in the processor's cache
_BATCH = 512
NEAR_DUPLICATES_VERSION = 2
"""Of all that decides what is linked; raise it when that changes, so that splits are recomputed."""


@dataclass(frozen=True, order=True)
class Pair:
    """Two near-duplicates, `i` < `j`, and the correlation of their aligned detail."""

    i: int
    j: int
    correlation: float


def near_duplicates(signatures: Sequence[Signature]) -> list[Pair]:
    """All pairs of indices whose images show the same scene, ascending.

    Images nearly of one colour have only partners with the same signature, each the next of them.
    Identical signatures are compared with the others once, however many there are.
    """
    alike = _alike(signatures)
    plain = [indices for indices in alike if signatures[indices[0]].plain]
    members = [indices for indices in alike if not signatures[indices[0]].plain]
    distinct = [signatures[indices[0]] for indices in members]
    found = [Pair(i, j, 1.0) for indices in plain for i, j in itertools.pairwise(indices)]
    found += [Pair(i, j, 1.0) for indices in members for i, j in _both(indices, indices) if i < j]
    for i, j, correlation in _distinct_pairs(distinct):
        pairs = (sorted(each) for each in _both(members[i], members[j]))
        found += [Pair(*pair, correlation) for pair in pairs]
    return sorted(found)


def case_links(pairs: Sequence[Pair], case_of: Sequence[int]) -> list[Pair]:
    """Pairs of images as pairs of the cases they belong to, each once, at its highest correlation.

    `case_of`: the case of each image. Two images of one case are no pair.
    """
    best: dict[tuple[int, int], float] = {}
    for pair in pairs:
        first, second = sorted((case_of[pair.i], case_of[pair.j]))
        if first != second:
            best[first, second] = max(pair.correlation, best.get((first, second), 0.0))
    return [Pair(*cases, correlation) for cases, correlation in sorted(best.items())]


def _alike(signatures: Sequence[Signature]) -> list[list[int]]:
    """Indices with the same signature, in the order of the first of them."""
    by_bytes: dict[bytes, list[int]] = {}
    for index, each in enumerate(signatures):
        by_bytes.setdefault(each.grey.tobytes(), []).append(index)
    return list(by_bytes.values())


def _both(first: Sequence[int], second: Sequence[int]) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in first for j in second)


def _distinct_pairs(signatures: Sequence[Signature]) -> list[tuple[int, int, float]]:
    if len(signatures) < 2:
        return []
    greys = np.stack([each.grey for each in signatures])
    hashes = np.stack([each.hashes for each in signatures])
    candidates = _alike_unaligned(proposals(hashes), greys)
    if not len(candidates[0]):
        return []
    best: dict[tuple[int, int], float] = {}
    for (_, i, j), correlation in zip(*_aligned(*candidates, greys), strict=True):
        pair, rounded = (int(i), int(j)), round(float(correlation), 4)
        best[pair] = max(rounded, best.get(pair, 0.0))
    return [(*pair, correlation) for pair, correlation in best.items()]


def proposals(hashes: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Pairs with like hashes, in blocks: an orientation of the second, indices `i` < `j`, `[M]`.

    `hashes`: uint64 `[N, 8, 2]`. Each image is compared with the eight orientations of each later
    one: 4 N² comparisons of 64 bits, and of 128 where the first 64 are alike.
    """
    perceptual, difference = (np.ascontiguousarray(hashes[..., k].T) for k in (0, 1))
    count = len(hashes)
    for which in range(ORIENTATIONS):
        for start in range(0, count, _ROWS):
            rows = perceptual[0, start : start + _ROWS, None]
            distances = np.bitwise_count(rows ^ perceptual[which, None, start:])
            near = np.flatnonzero(distances <= MOST_PERCEPTUAL)
            i, j = np.divmod(near, count - start)
            later = j > i
            near, i, j = near[later], i[later] + start, j[later] + start
            both = distances.ravel()[near]
            both += np.bitwise_count(difference[0, i] ^ difference[which, j])
            yield which, i[both <= MOST_BOTH], j[both <= MOST_BOTH]


def _alike_unaligned(
    blocks: Iterator[tuple[int, np.ndarray, np.ndarray]], greys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the proposals that correlate as they are or as crops, and where to start aligning.

    Candidates int32 `[M, 3]`, warps float32 `[M, 4]`.
    """
    small = smooth(shrunk(greys, 16), 1)
    whole, middle = _normalised(small), _normalised(zoomed(small, MIDDLE - 1))
    scales = np.float32([0, MIDDLE - 1, 1 / MIDDLE - 1])  # of the second to fit the first
    candidates, starts = [np.empty((0, 3), np.int32)], [np.empty(0, np.float32)]
    for which, i, j in blocks:
        correlations = np.stack(
            [
                np.einsum("bij,bij->b", first[i], oriented(second[j], which))
                for first, second in ((whole, whole), (whole, middle), (middle, whole))
            ]
        )
        kept = correlations.max(0) >= LEAST_UNALIGNED
        block = np.stack([np.full_like(i, which), i, j], 1)[kept]
        candidates.append(block.astype(np.int32))
        starts.append(scales[correlations.argmax(0)[kept]])
    scale = np.concatenate(starts)
    return np.concatenate(candidates), np.stack([scale, 0 * scale, scale, 0 * scale], 1)


def _normalised(images: np.ndarray) -> np.ndarray:
    centred = images - images.mean((1, 2), keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=(1, 2), keepdims=True), 1e-3)


def _aligned(
    candidates: np.ndarray, warps: np.ndarray, greys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The candidates that pass every stage, and the correlation of their detail."""
    for stage in STAGES:
        aligned = functools.partial(align, steps=stage.steps)
        correlations, warps = _compared(aligned, stage, candidates, warps, greys)
        kept = correlations >= stage.least
        candidates, warps, correlations = candidates[kept], warps[kept], correlations[kept]
        if not len(candidates):
            return candidates, correlations
    (local,) = _compared(
        lambda *images: (least_local_correlation(*images, noise=NOISE),),
        stage,
        candidates,
        warps,
        greys,
    )
    return candidates[local >= LEAST_LOCAL], correlations[local >= LEAST_LOCAL]


def _compared(
    compare: Callable[..., tuple[np.ndarray, ...]],
    stage: Stage,
    candidates: np.ndarray,
    warps: np.ndarray,
    greys: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """What `compare(first, second, warps)` gives, of all candidates; each core takes batches."""
    used, places = np.unique(candidates[:, 1:], return_inverse=True)
    seen, places = stage.seen(shrunk(greys[used], stage.size)), places.reshape(-1, 2)
    pixels = np.arange(stage.size**2).reshape(stage.size, stage.size)
    orders = np.stack([oriented(pixels, which).ravel() for which in range(ORIENTATIONS)])

    def batch(start: int) -> tuple[np.ndarray, ...]:
        part = slice(start, start + _BATCH)
        first, second = seen[places[part, 0]], seen[places[part, 1]]
        order = orders[candidates[part, 0]]
        second = np.take_along_axis(second.reshape(order.shape), order, 1)
        return compare(first, second.reshape(first.shape), warps[part])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(batch, range(0, len(candidates), _BATCH)))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))
