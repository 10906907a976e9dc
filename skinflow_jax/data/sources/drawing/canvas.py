"""The sheet that a synthetic photograph is drawn on: colour, height and gloss, lit at the end."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FIELD_MM = 40.0
# Unit vectors towards the light, and halfway between it and the eye above the skin.
_LIGHT = (-0.42, -0.50, 0.757)
_HALFWAY = (-0.224, -0.267, 0.937)


@dataclass(frozen=True)
class Patch:
    """A lesion's window of the sheet in its own frame; all arrays [h, w] of the window.

    Attributes:
        where: rows and columns of the sheet.
        u, v: position across the lesion, -1 to 1 from edge to edge along both axes.
        depth: mm inside the outline (negative outside), about right near the edge.
        cover: 0..1, how much of the pixel the lesion covers.
        radius: half of the smaller diameter, mm.
        grain: pixels per mm.
    """

    where: tuple[slice, slice]
    u: np.ndarray
    v: np.ndarray
    depth: np.ndarray
    cover: np.ndarray
    radius: float
    grain: float


class Canvas:
    """A square field of view of 40 mm, seen from above, with the light from the upper left.

    Attributes:
        x, y: millimetres from the centre, float32 [1, S] and [S, 1]; y grows downwards.
        colour: sRGB in 0..1 under flat light, float32 [3, S, S]: planes broadcast fast.
        height: millimetres above the skin, float32 [S, S].
        gloss: strength of the mirror reflection, float32 [S, S].
        skin: 1 where lesions may be, 0 on backdrop and clothing, float32 [S, S].
        lesion: 0..1, how much of the pixel lesions cover, float32 [S, S].
    """

    def __init__(self, size: int) -> None:
        """An empty sheet of `size` x `size` pixels."""
        self.size = size
        self.pixel_mm = FIELD_MM / size
        axis = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FIELD_MM
        self.x, self.y = axis[None, :], axis[:, None]
        self.colour = np.zeros((3, size, size), np.float32)
        self.height = np.zeros((size, size), np.float32)
        self.gloss = np.zeros((size, size), np.float32)
        self.skin = np.ones((size, size), np.float32)
        self.lesion = np.zeros((size, size), np.float32)

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns within `reach` mm of a point; empty when the point is far outside."""
        return self._span(y, reach), self._span(x, reach)

    def _span(self, centre: float, reach: float) -> slice:
        ends = (centre - reach, centre + reach + self.pixel_mm)
        pixels = (int(end / self.pixel_mm + self.size / 2) for end in ends)
        return slice(*(min(max(pixel, 0), self.size) for pixel in pixels))

    def paint(self, colour: np.ndarray, alpha: np.ndarray, where: tuple = ()) -> None:
        """Blend a colour, `[3, 1, 1]` or `[3, h, w]`, over the window; `alpha` 0..1, [h, w]."""
        region = self.colour[(slice(None), *where)]
        region += (colour - region) * alpha

    def lit(self) -> np.ndarray:
        """The photograph: colour under the light with its highlights, float32 [3, S, S]."""
        slope_x, slope_y = np.zeros_like(self.height), np.zeros_like(self.height)
        step = 2 * self.pixel_mm
        slope_x[:, 1:-1] = (self.height[:, 2:] - self.height[:, :-2]) / step
        slope_y[1:-1] = (self.height[2:] - self.height[:-2]) / step
        norm = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
        lx, ly, lz = _LIGHT
        diffuse = np.clip((lz - lx * slope_x - ly * slope_y) * norm / lz, 0.25, 1.25)
        hx, hy, hz = _HALFWAY
        mirror = np.clip((hz - hx * slope_x - hy * slope_y) * norm, 0, 1)
        for _ in range(5):
            mirror *= mirror
        return self.colour * diffuse + 0.6 * self.gloss * mirror


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Smooth random field of about unit variance, float32 `shape`; its grain is `cell` pixels."""
    rows, columns = (_spline(n, max(2, round(n / max(cell, 1.0)))) for n in shape)
    grid = rng.standard_normal((rows.shape[1], columns.shape[1]), np.float32)
    return 2.0 * (rows @ grid @ columns.T)


@lru_cache(maxsize=1024)
def _spline(pixels: int, cells: int) -> np.ndarray:
    """Cubic B-spline weights [pixels, cells + 3]: smooth, and without seams at the cells."""
    position = (np.arange(pixels) + 0.5) / max(pixels, 1) * cells
    cell = np.minimum(position.astype(int), cells - 1)
    f = position - cell
    taps = (
        (1 - f) ** 3 / 6,
        (3 * f**3 - 6 * f**2 + 4) / 6,
        (-3 * f**3 + 3 * f**2 + 3 * f + 1) / 6,
        f**3 / 6,
    )
    weights = np.zeros((pixels, cells + 3), np.float32)
    for offset, tap in enumerate(taps):
        weights[np.arange(pixels), cell + offset] = tap
    return weights


def strokes(canvas: Canvas, points: np.ndarray, width_mm: float) -> np.ndarray:
    """Coverage 0..1 [S, S] of curves given as points, millimetres [..., 2], close to each other."""
    size, scale = canvas.size, canvas.size / FIELD_MM
    column, row = (points.reshape(-1, 2) * scale + size / 2 - 0.5).T
    half = max(width_mm * scale / 2, 0.5)
    reach = int(np.ceil(half))
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    coverage = np.zeros(size * size, np.float32)
    for dy in range(-reach, reach + 2):
        for dx in range(-reach, reach + 2):
            c, r = left + dx, top + dy
            inside = (c >= 0) & (c < size) & (r >= 0) & (r < size)
            value = np.clip(half + 0.5 - np.hypot(c - column, r - row), 0, 1)[inside]
            np.maximum.at(coverage, (r * size + c)[inside], value.astype(np.float32))
    return coverage.reshape(size, size)


def rgb(red: int, green: int, blue: int) -> np.ndarray:
    """An sRGB colour in 0..1, float32 [3, 1, 1]."""
    return np.array([red, green, blue], np.float32)[:, None, None] / 255
