"""Pairs of small grey images, each pair laid over one another as well as scale and shift allow.

The warp of a pair is four numbers: scale and shift of the rows, then of the columns, in half sides
of the image: the pixel of the second image for row `y` in [-1, 1] of the first is at
`y · (1 + scale) + shift`. Gauss-Newton steps find the one of the highest correlation (Baker and
Matthews, "Lucas-Kanade 20 years on", IJCV 2004), from coarse images to fine ones.
"""

import functools

import numpy as np

MOST_WARP = 0.16
"""A crop that takes 5 % from every side has a scale of 0.11; 5 % off one corner shifts by 0.05."""
_DAMPING = 1e-3
_WINDOW = 8  # variance of local correlation's windows, pixels²
_EDGE = 4


def align(
    first: np.ndarray, second: np.ndarray, warps: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and warp of each pair after at most `steps` steps: the best one on the way.

    `first`, `second`: float32 `[B, N, N]`; `warps`: float32 `[B, 4]`, where to start. Correlation
    is over the pixels where both images are; an image of one colour has correlation 0.
    """
    best, best_warps = np.full(len(first), -1, np.float32), warps
    for step in range(steps + 1):
        rows, rows_inside = _sampling(warps[:, 0], warps[:, 1], first.shape[1])
        columns, columns_inside = _sampling(warps[:, 2], warps[:, 3], first.shape[1])
        inside = rows_inside[:, :, None] * columns_inside[:, None, :]
        fixed = _normalised(first, inside)
        moved = _normalised(rows @ second @ columns.transpose(0, 2, 1), inside)
        correlation = np.einsum("bij,bij->b", fixed, moved)
        better = correlation > best
        best = np.where(better, correlation, best)
        best_warps = np.where(better[:, None], warps, best_warps)
        if step < steps:
            warps = np.clip(warps + _step(fixed, moved, inside), -MOST_WARP, MOST_WARP)
    return best, best_warps


def _sampling(scale: np.ndarray, shift: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of linear interpolation, `[B, N, N]`, and which positions are inside, `[B, N]`."""
    positions = (1 + scale[:, None]) * _axis(size) + shift[:, None]
    pixels = positions * (size / 2) + (size - 1) / 2
    distances = np.abs(pixels[..., None] - np.arange(size, dtype=np.float32))
    inside = (pixels > -0.01) & (pixels < size - 0.99)
    return np.maximum(0, 1 - distances), inside.astype(np.float32)


@functools.cache
def _axis(size: int) -> np.ndarray:
    return ((np.arange(size) - (size - 1) / 2) / (size / 2)).astype(np.float32)


def _normalised(images: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Of mean 0 and norm 1 over the inside, 0 outside."""
    count = np.maximum(inside.sum((1, 2), keepdims=True), 1)
    mean = (images * inside).sum((1, 2), keepdims=True) / count
    centred = (images - mean) * inside
    return centred / _norm(centred)


def _step(fixed: np.ndarray, moved: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The damped Gauss-Newton step of the warps, `[B, 4]`."""
    size = fixed.shape[1]
    axis = _axis(size)
    down, right = (np.gradient(moved, axis=d) * inside * (size / 2) for d in (1, 2))
    slopes = np.stack([down * axis[:, None], down, right * axis, right], 1)
    slopes = slopes.reshape(len(fixed), 4, -1)
    normal = slopes @ slopes.transpose(0, 2, 1)
    damping = _DAMPING * np.trace(normal, axis1=1, axis2=2) / 4 + 1e-9
    normal += damping[:, None, None] * np.eye(4, dtype=np.float32)
    residual = (fixed - moved).reshape(len(fixed), -1, 1)
    return np.linalg.solve(normal, slopes @ residual)[..., 0]


def least_local_correlation(
    first: np.ndarray, second: np.ndarray, warps: np.ndarray, *, noise: float
) -> np.ndarray:
    """How well each pair correlates where it does worst, `[B]`, in windows of about 11 pixels.

    Near the edges, where a crop leaves half of a structure, nothing is asked. Images `[B, N, N]`
    of mean 0; `noise`, in their unit, is what may differ where neither image has anything: it is
    added to both as if they shared it.
    """
    rows, rows_inside = _sampling(warps[:, 0], warps[:, 1], first.shape[1])
    columns, columns_inside = _sampling(warps[:, 2], warps[:, 3], first.shape[1])
    inside = rows_inside[:, :, None] * columns_inside[:, None, :]
    fixed, moved = first * inside, rows @ second @ columns.transpose(0, 2, 1) * inside
    moved *= _norm(fixed) / _norm(moved)
    weight = smooth(inside, _WINDOW)
    shares = [
        smooth(product, _WINDOW) / np.maximum(weight, 0.1) + noise**2
        for product in (fixed * moved, np.square(fixed), np.square(moved))
    ]
    local = np.where(weight > 0.97, shares[0] / np.sqrt(shares[1] * shares[2]), 1)
    return local[:, _EDGE:-_EDGE, _EDGE:-_EDGE].min((1, 2))


def _norm(images: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.square(images).sum((1, 2), keepdims=True)), 1e-3)


def zoomed(images: np.ndarray, scale: float) -> np.ndarray:
    """`[B, N, N]`, warped by this scale about the centre: the middle where it is negative."""
    weights, _ = _sampling(np.float32([scale]), np.float32([0]), images.shape[-1])
    return weights[0] @ images @ weights[0].T


def shrunk(images: np.ndarray, size: int) -> np.ndarray:
    """`[B, M, M]` to float32 `[B, size, size]` by the means of squares; `size` divides M."""
    count, side = images.shape[:2]
    squares = images.reshape(count, size, side // size, size, side // size)
    return squares.mean((2, 4), dtype=np.float32)


def smooth(images: np.ndarray, variance: int) -> np.ndarray:
    """Convolved with a binomial kernel of `variance` pixels², the edge repeated outside."""
    blur = _blur(images.shape[-1], variance)
    return blur @ images @ blur.T


@functools.cache
def _blur(size: int, variance: int) -> np.ndarray:
    kernel = functools.reduce(np.convolve, [[0.5, 0.5]] * (4 * variance))
    radius = 2 * variance
    blur = np.zeros((size, size), np.float32)
    for row in range(size):
        columns = np.clip(np.arange(row - radius, row + radius + 1), 0, size - 1)
        np.add.at(blur[row], columns, kernel)
    return blur
