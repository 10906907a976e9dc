"""Between the tokens of an image and pixels: those the model was shown, or those of the original.

On its way to the model an image is stretched as a whole to multiples of 28 pixels
(`data.images.resize`): nothing is cut off and nothing is padded. So of an image of any size, token
(r, c) of a grid [h, w] sees the rows from r H / h to (r + 1) H / h and the columns likewise; at its
edges the bicubic filter mixes in a few neighbouring pixels.
"""

import numpy as np
from jaxtyping import Float


def to_image(tokens: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """A map over tokens on the pixels of an image, float64, of the same mean.

    `size` is (H, W), of the upright original or as the model was shown it. A pixel has the value of
    the token that sees it; where several do, their mean by area.
    """
    rows, columns = (_overlaps(n, pixels) for n, pixels in zip(tokens.shape, size, strict=True))
    return rows @ tokens @ columns.T


def to_tokens(pixels: Float[np.ndarray, "H W"], grid: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Of each token of `grid` the mean over its area: of a mask the share that is covered."""
    rows, columns = (_overlaps(n, size) for n, size in zip(grid, pixels.shape, strict=True))
    return (rows / rows.sum(axis=0)).T @ pixels @ (columns / columns.sum(axis=0))


def _overlaps(cells: int, pixels: int) -> Float[np.ndarray, "pixels cells"]:
    """The part of each pixel that lies in each of so many equal cells."""
    edges = np.arange(cells + 1) * pixels / cells
    first = np.arange(pixels)[:, None]
    return np.clip(np.minimum(edges[1:], first + 1) - np.maximum(edges[:-1], first), 0, None)
