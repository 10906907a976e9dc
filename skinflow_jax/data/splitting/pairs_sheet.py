"""A picture of near-duplicates side by side, for a person to look at."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from skinflow_jax.data.splitting.splits import Link, SplitCase
from skinflow_jax.errors import printable

_SIDE = 192  # of each image, pixels
_LINE = 16
_GAP = 8
_PER_ROW = 3
_WIDTH = 2 * _SIDE + 3 * _GAP
_HEIGHT = _SIDE + 4 * _LINE + 2 * _GAP
_INK = "black"
_ALARM = "firebrick"


def pairs_sheet(
    links: Sequence[Link],
    cases: Mapping[str, SplitCase],
    load: Callable[[str], np.ndarray],
) -> Image.Image:
    """The pairs with ids, groups, labels and correlation; contradicting labels are red.

    Args:
        links: the pairs, in the order to show them. A sheet of more than some hundreds is large:
            each takes 408 by 272 pixels.
        cases: by their id.
        load: the image of a case by its id, uint8 `[H, W, 3]`.
    """
    rows = max(1, -(-len(links) // _PER_ROW))
    sheet = Image.new("RGB", (_PER_ROW * _WIDTH, rows * _HEIGHT), "white")
    for number, link in enumerate(links):
        row, column = divmod(number, _PER_ROW)
        sheet.paste(_pair(link, cases, load), (column * _WIDTH, row * _HEIGHT))
    return sheet


def _pair(
    link: Link, cases: Mapping[str, SplitCase], load: Callable[[str], np.ndarray]
) -> Image.Image:
    tile = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(tile)
    for side, (name, label) in enumerate(zip((link.first, link.second), link.labels, strict=True)):
        left = _GAP + side * (_SIDE + _GAP)
        image = Image.fromarray(load(name))
        tile.paste(ImageOps.pad(image, (_SIDE, _SIDE), color="white"), (left, _GAP))
        for line, text in enumerate((name, cases[name].group_id, label)):
            ink = _ALARM if text is label and link.contradicts else _INK
            _write(draw, (left, _GAP + _SIDE + line * _LINE), text, ink)
    _write(draw, (_GAP, _GAP + _SIDE + 3 * _LINE), f"correlation {link.correlation:.3f}", _INK)
    return tile


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, ink: str) -> None:
    """As much of the end of a text as fits below an image: ids differ at their end."""
    font, text = ImageFont.load_default(12), printable(text)
    while text and draw.textlength(text, font) > _SIDE:
        text = text[1:]
    draw.text(place, text, ink, font)
