"""What is kept of an image to find its near-duplicates: 4,224 bytes, whatever its size."""

from dataclasses import dataclass
from typing import ClassVar

import imagehash
import numpy as np
from PIL import Image

SIDE = 64
ORIENTATIONS = 8
"""Mirror images and quarter turns; `oriented` numbers them, 0 is the image itself."""
LEAST_CONTRAST = 2.0
"""Standard deviation in grey levels below which an image is nearly of one colour."""
_HASHES = ORIENTATIONS * 2 * 8


@dataclass(frozen=True, eq=False)
class Signature:
    """Of one image.

    Attributes:
        hashes: uint64 `[8, 2]`, of each orientation the perceptual hash (signs of low DCT
            frequencies) and the difference hash (signs of horizontal differences).
        grey: uint8 `[64, 64]`, the image squeezed into a square.
    """

    BYTES: ClassVar[int] = _HASHES + SIDE * SIDE

    hashes: np.ndarray
    grey: np.ndarray

    @property
    def plain(self) -> bool:
        """Whether the image is nearly of one colour: its correlation with another says nothing."""
        return float(self.grey.std()) < LEAST_CONTRAST

    def to_bytes(self) -> bytes:
        """The hashes in little-endian order, then the rows of the grey image."""
        return self.hashes.astype("<u8").tobytes() + self.grey.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Signature":
        """Inverse of `to_bytes`; raises ValueError where the length is another."""
        if len(data) != cls.BYTES:
            raise ValueError(f"a signature has {cls.BYTES:,} bytes, not {len(data):,}")
        hashes = np.frombuffer(data, "<u8", _HASHES // 8).reshape(ORIENTATIONS, 2)
        grey = np.frombuffer(data, np.uint8, offset=_HASHES).reshape(SIDE, SIDE)
        return cls(hashes.astype(np.uint64), grey)


def signature(image: np.ndarray) -> Signature:
    """Of an image, uint8 `[H, W, 3]`."""
    small = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    grey = np.asarray(small)
    hashes = [_hashes(oriented(grey, which)) for which in range(ORIENTATIONS)]
    return Signature(np.array(hashes, np.uint64), grey)


def oriented(images: np.ndarray, which: int) -> np.ndarray:
    """A view of `images`, `[..., N, N]`, in one of the eight orientations of a square."""
    if which & 4:
        images = images.swapaxes(-1, -2)
    if which & 2:
        images = images[..., ::-1, :]
    return images[..., ::-1] if which & 1 else images


def _hashes(grey: np.ndarray) -> list[int]:
    image = Image.fromarray(np.ascontiguousarray(grey))
    signs = (imagehash.phash(image).hash, imagehash.dhash(image).hash)
    return [int.from_bytes(np.packbits(each).tobytes()) for each in signs]
