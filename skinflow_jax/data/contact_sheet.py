"""What records hold, in a picture: `skinflow data inspect`."""

import math
from collections import Counter
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.errors import printable

THUMBNAIL = 128
"""Pixels of the longer side of an image on a sheet (our choice)."""
_CAPTION = 30
_GAP = 4
_BACKGROUND = "white"


def contact_sheet(records: RecordSet, *, most: int = 60, columns: int = 10) -> Image.Image:
    """Up to `most` cases, evenly from each diagnosis in turn: image, diagnosis and id under it.

    Of a case with several images the first is shown, and how many there are.
    """
    chosen = _in_turn([records.case(number).diagnosis for number in range(len(records))])[:most]
    rows = math.ceil(len(chosen) / columns)
    cell_width, cell_height = THUMBNAIL + _GAP, THUMBNAIL + _CAPTION + _GAP
    sheet = Image.new("RGB", (columns * cell_width, rows * cell_height), _BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, number in enumerate(chosen):
        record = records[number]
        thumbnail = Image.fromarray(record.images[0])
        thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
        left = place % columns * cell_width
        top = place // columns * cell_height
        sheet.paste(thumbnail, (left, top))
        more = f" ({len(record.images)} images)" if len(record.images) > 1 else ""
        lines = (f"{record.case.diagnosis or 'unknown'}{more}", record.case.case_id)
        for line, text in enumerate(lines):
            shown = _fitting(printable(text), draw, font)
            draw.text((left, top + THUMBNAIL + 13 * line), shown, "black", font)
    return sheet


def _in_turn(labels: Sequence[str]) -> list[int]:
    """Indices, one of each label after the other, the rarest labels first."""
    count, seen = Counter(labels), Counter()
    turns = []
    for index, label in enumerate(labels):
        turns.append((seen[label], count[label], label, index))
        seen[label] += 1
    return [index for *_, index in sorted(turns)]


def _fitting(text: str, draw: ImageDraw.ImageDraw, font) -> str:
    while text and draw.textlength(text, font) > THUMBNAIL:
        text = text[:-2] + "…" if text.endswith("…") else text[:-1] + "…"
        if text == "…":
            break
    return text
