"""Images of more than 8 bits a sample: which range their numbers have, or that the file hides it.

A file states how wide its samples are (PNG: IHDR; TIFF: BitsPerSample), seldom what white is:
cameras store 10, 12 or 14 bits in 16. So a deep image is taken at its word where its brightest
value needs every bit it states, and is scaled by that range. One that does not may be dark or may
be of fewer bits, which nobody can tell apart: it is refused, not shown too dark or too bright.
PNG's sBIT and TIFF's MaxSampleValue do not help: by their standards neither changes what a value
means (a PNG of 12 significant bits holds them in the upper 12). Files of 8 bits or fewer are what
they say; 32-bit integers and floats have no white at all.
"""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from skinflow_jax.errors import InputError

_PNG_DEPTH_AT = 24
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262
_WHITE_IS_ZERO = 0


@dataclass(frozen=True)
class Depth:
    """What a file's header states: bits of a sample, and whether 0 is white."""

    bits: int
    inverted: bool = False


def stated_depth(image: Image.Image, file: BinaryIO) -> Depth:
    """The depth of an opened image; `file` is what it was opened from."""
    if image.format == "PNG":
        file.seek(_PNG_DEPTH_AT)
        return Depth(file.read(1)[0])
    if image.format == "TIFF":
        bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
        return Depth(bits, image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    return Depth(8)


def to_8_bits(image: Image.Image, depth: Depth) -> Image.Image:
    """A decoded image as one of 8 bits a sample, scaled by the range of its depth.

    Raises InputError, which does not name the file, where the range is not known.
    """
    bits = depth.bits
    if bits <= 8:
        return image
    if image.mode in ("I", "F") or bits > 16:
        raise InputError(f"{bits}-bit numbers do not say which is white; save it as 8-bit PNG")
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint16)
        _check_range(int(grey.max()), bits)
        if depth.inverted:
            grey = (1 << bits) - 1 - grey
        return Image.fromarray((grey >> (bits - 8)).astype(np.uint8))
    # Of several samples a pixel Pillow decodes the upper 8 bits.
    colours = [band for band in image.getbands() if band.upper() != "A"]
    brightest = max(image.getchannel(band).getextrema()[1] for band in colours)
    _check_range(brightest << (bits - 8), bits)
    return image


def _check_range(largest: int, bits: int) -> None:
    if largest >> (bits - 1) == 0:
        raise InputError(
            f"its {bits}-bit numbers end at {largest}: it may be dark or of fewer bits, which "
            "cannot be told apart; save it as 8-bit PNG"
        )
