"""Changes of training images that leave the diagnosis as it is, by name; never in evaluation.

Each is a pure function of an image and a random generator. An image keeps its size, or exchanges
its sides: either way it needs the same windows and tokens, so that batches keep their shapes.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

Mask = np.ndarray
"""bool `[H, W]`, True on the lesion."""

MOST_DEGREES = 10.0
LEAST_SIDE = 0.9
"""Share of each side that a crop keeps where it is not known where the lesion lies."""
LEAST_SIDE_MASKED = 0.6
BRIGHTNESS = 0.1
# These move a* of CIELAB by at most 3 on skin of any type, lesion and surroundings alike: how far
# erythema stands out of the skin around it stays within a sixth of what it was, also when brighter.
CHANNEL_GAIN = 0.01
SATURATION = 0.05
_QUARTERS = (
    *(None, Image.Transpose.ROTATE_90),
    *(Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270),
)
_LUMA = np.array([0.299, 0.587, 0.114])


def augment(
    image: np.ndarray, names: Sequence[str], rng: np.random.Generator, mask: Mask | None = None
) -> np.ndarray:
    """The image after the augmentations of these names, in the order of `AUGMENTATIONS`.

    Args:
      image: uint8 `[H, W, 3]`.
      names: of `AUGMENTATIONS`.
      rng: decides all; the same state gives the same pixels.
      mask: bool `[H, W]` of the lesion, which a crop then keeps whole.

    Returns:
      uint8 `[H, W, 3]`, or `[W, H, 3]` after a quarter turn.
    """
    picture = Image.fromarray(image)
    for name, change in AUGMENTATIONS.items():
        if name in names:
            picture = change(picture, rng, mask)
    return np.asarray(picture)


def crop(picture: Image.Image, rng: np.random.Generator, mask: Mask | None) -> Image.Image:
    """A part of the same proportions, at the size of the whole.

    It holds the mask's box; without a mask, at least 90 % of each side.
    """
    size = np.array(picture.size)
    low, high = (np.zeros(2), np.zeros(2)) if mask is None else _box(mask)
    least = LEAST_SIDE if mask is None else max(LEAST_SIDE_MASKED, *((high - low) / size))
    side = size * rng.uniform(least, 1)
    if mask is None:
        corner = rng.uniform(0, size - side)
    else:
        corner = rng.uniform(np.maximum(high - side, 0), np.minimum(low, size - side))
    return picture.resize(
        picture.size, Image.Resampling.BICUBIC, box=(*corner, *np.minimum(corner + side, size))
    )


def _box(mask: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Left and upper, right and lower bounds of the True part; of the whole where there is none."""
    rows, columns = np.nonzero(mask if mask.any() else np.ones_like(mask))
    low = np.array([columns.min(), rows.min()], float)
    return low, np.array([columns.max() + 1, rows.max() + 1], float)


def flip(picture: Image.Image, rng: np.random.Generator, _) -> Image.Image:
    """Mirrored left to right, top to bottom, both or neither."""
    sides, ends = rng.integers(2, size=2)
    if sides:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if ends else picture


def rotate90(picture: Image.Image, rng: np.random.Generator, _) -> Image.Image:
    """Rotated by none to three quarters; no pixel is lost, the sides may be exchanged."""
    method = _QUARTERS[rng.integers(4)]
    return picture if method is None else picture.transpose(method)


def rotate(picture: Image.Image, rng: np.random.Generator, _) -> Image.Image:
    """Rotated by up to ten degrees either way; what comes in at the edges is a reflection."""
    angle = np.deg2rad(rng.uniform(-MOST_DEGREES, MOST_DEGREES))
    # A corner moves by less than the half diagonal times the angle.
    margin = int(np.hypot(*picture.size) / 2 * np.deg2rad(MOST_DEGREES)) + 2
    wide = np.pad(np.asarray(picture), ((margin,) * 2, (margin,) * 2, (0, 0)), mode="symmetric")
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array(picture.size) / 2
    affine = np.column_stack([rotation, centre + margin - rotation @ centre])
    return Image.fromarray(wide).transform(
        picture.size, Image.Transform.AFFINE, tuple(affine.flat), Image.Resampling.BICUBIC
    )


def brightness_matrix(rng: np.random.Generator) -> np.ndarray:
    """`[3, 3]`: all channels times the same number, within a tenth of 1."""
    return np.eye(3) * rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS)


def colour_matrix(rng: np.random.Generator) -> np.ndarray:
    """`[3, 3]`: each channel's gain and the saturation a little changed."""
    gains = rng.uniform(1 - CHANNEL_GAIN, 1 + CHANNEL_GAIN, size=3)
    saturation = rng.uniform(1 - SATURATION, 1 + SATURATION)
    return gains[:, None] * (saturation * np.eye(3) + (1 - saturation) * _LUMA)


def _mixed(draw: Callable[[np.random.Generator], np.ndarray]):
    """Each pixel's channels times a matrix that is drawn, rounded and clipped to 0 and 255."""

    def change(picture: Image.Image, rng: np.random.Generator, _) -> Image.Image:
        return picture.convert("RGB", tuple(np.pad(draw(rng), ((0, 0), (0, 1))).reshape(-1)))

    return change


# The crop first: a mask is of the image as it came.
AUGMENTATIONS: Mapping[
    str, Callable[[Image.Image, np.random.Generator, Mask | None], Image.Image]
] = {
    "crop": crop,
    "flip": flip,
    "rotate90": rotate90,
    "rotate": rotate,
    "brightness": _mixed(brightness_matrix),
    "colour": _mixed(colour_matrix),
}
