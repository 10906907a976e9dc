"""Images small enough for a page, as data URIs: drawn anew from pixels, so without metadata."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

MOST_BYTES = 16 * 2**20
"""Of all images of a page, before base64 makes a third more of them."""

_SIZES = ((320, 85), (320, 75), (256, 75), (224, 70), (192, 65), (160, 60), (128, 50), (96, 40))
"""Longest side in pixels and quality of the JPEG, tried in this order."""

_INK = np.array([[40, 11, 84], [101, 21, 110], [188, 55, 84], [249, 142, 8], [252, 255, 164]])
"""Stops of attention's colours (inferno's): they rise in lightness, so that no hue is needed."""


@dataclass(frozen=True)
class Picture:
    """An image as a page shows it, `width` and `height` in pixels, `uri` its data."""

    uri: str
    width: int
    height: int


def pictures(images: Sequence[np.ndarray], most_bytes: int) -> list[Picture]:
    """JPEGs of the images of a case, uint8 `[H, W, 3]`, which share `most_bytes`.

    The smallest size is taken even where it does not fit.
    """
    return [_jpeg(image, most_bytes // max(1, len(images))) for image in images]


def _jpeg(image: np.ndarray, most_bytes: int) -> Picture:
    for side, quality in _SIZES:
        small = Image.fromarray(image)
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        small.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= most_bytes:
            break
    return Picture(_uri("image/jpeg", file.getvalue()), *small.size)


def attention_uri(attention: np.ndarray) -> str:
    """A map `[h, w]` as an image of a pixel a token: the more attention, the lighter and denser."""
    low, high = float(attention.min()), float(attention.max())
    share = (attention - low) / (high - low) if high > low else np.zeros_like(attention, float)
    stops = np.linspace(0, 1, len(_INK))
    colours = [np.interp(share, stops, _INK[:, channel]) for channel in range(3)]
    pixels = np.stack([*colours, 255 * np.sqrt(share)], axis=-1).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG", optimize=True)
    return _uri("image/png", file.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
