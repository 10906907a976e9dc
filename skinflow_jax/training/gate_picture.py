"""Gates as a picture for TensorBoard: a row a linear map, a column a frequency group."""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_CELL, _LABELS, _GAP, _HEAD = 14, 150, 24, 34  # pixels
_ABOVE, _BELOW = np.array([0, 114, 178]), np.array([213, 94, 0])  # told apart by all eyes


def gate_picture(rows: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Mean gates, less the 1 of identity, beside their spread among images: uint8 `[H, W, 3]`.

    `rows`: by name of the map, `[groups]` each. The largest value of a panel has the full colour,
    blue above 0 and orange below, and stands over it: gates begin at 1 and move little.
    """
    groups = max(len(mean) for mean, _ in rows.values())
    panel = groups * _CELL
    wide = max(panel, 120) + _GAP
    size = (_LABELS + 2 * wide, _HEAD + _CELL * len(rows) + 4)
    picture, font = Image.new("RGB", size, "white"), ImageFont.load_default(10)
    draw = ImageDraw.Draw(picture)
    panels = (("mean - 1", [mean - 1 for mean, _ in rows.values()]),)
    panels += (("spread", [spread for _, spread in rows.values()]),)
    for place, (title, values) in enumerate(panels):
        left = _LABELS + place * wide
        most = max(float(np.abs(row).max()) for row in values)
        draw.text((left, 2), title, "black", font)
        draw.text((left, 16), f"full colour {most:.2g}", "black", font)
        for row, found in enumerate(values):
            for group, value in enumerate(found):
                corner = (left + group * _CELL, _HEAD + row * _CELL)
                end = (corner[0] + _CELL - 2, corner[1] + _CELL - 2)
                draw.rectangle((corner, end), fill=_colour(value / most if most else 0.0))
    for row, name in enumerate(rows):
        draw.text((2, _HEAD + row * _CELL), name, "black", font)
    return np.asarray(picture)


def _colour(share: float) -> tuple[int, int, int]:
    """From light grey at 0 to a full colour at -1 and 1."""
    full = _ABOVE if share > 0 else _BELOW
    return tuple(int(c) for c in np.rint(238 + (full - 238) * min(abs(share), 1.0)))
