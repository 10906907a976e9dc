"""What records hold, in a picture: `skinflow data inspect`."""

import math
from collections import Counter
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from skinflow_jax.data.record_set import Record, RecordSet
from skinflow_jax.errors import printable

THUMBNAIL = 128
"""Pixels of the longer side of an image on a sheet (our choice)."""
_LINE = 13
_GAP = 4
_BACKGROUND = "white"


def contact_sheet(
    records: RecordSet,
    *,
    most: int = 60,
    columns: int = 10,
    lines: Sequence[Sequence[str]] | None = None,
) -> Image.Image:
    """Up to `most` cases, evenly from each diagnosis in turn: image, diagnosis and id under it.

    `lines`: what stands under each image instead, of all records in their order. Of a case with
    several images the first is shown, and how many there are.
    """
    chosen = evenly(records, most) if lines is None else range(len(records))
    shown = [records[number] for number in chosen]
    if lines is None:
        lines = [_lines(record) for record in shown]
    rows = math.ceil(len(shown) / columns)
    below = max(map(len, lines), default=0) * _LINE + _GAP
    cell_width, cell_height = THUMBNAIL + _GAP, THUMBNAIL + below + _GAP
    sheet = Image.new("RGB", (columns * cell_width, rows * cell_height), _BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, (record, told) in enumerate(zip(shown, lines, strict=True)):
        thumbnail = Image.fromarray(record.images[0])
        thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
        left = place % columns * cell_width
        top = place // columns * cell_height
        sheet.paste(thumbnail, (left, top))
        for line, text in enumerate(told):
            fitting = _fitting(printable(text), draw, font)
            draw.text((left, top + THUMBNAIL + _LINE * line), fitting, "black", font)
    return sheet


def evenly(records: RecordSet, most: int) -> list[int]:
    """The numbers of up to `most` records: one of each diagnosis after the other."""
    return _in_turn([records.case(number).diagnosis for number in range(len(records))])[:most]


def _lines(record: Record) -> tuple[str, str]:
    more = f" ({len(record.images)} images)" if len(record.images) > 1 else ""
    return f"{record.case.diagnosis or 'unknown'}{more}", record.case.case_id


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
