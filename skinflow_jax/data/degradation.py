"""Photographs as they should not be: the same cases under blur, compression, poor light or framing.

Each degradation has fixed levels, from mild to strong; level 0 is the image as it is. An image
keeps its size, so that batches keep their shapes. docs/robustness.md says what the settings mean.
"""

import io
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from skinflow_jax.data.images import resize
from skinflow_jax.data.record_set import Record, RecordSet
from skinflow_jax.data.sources.procedural import ProceduralSource

CLUTTER = "clutter"
CLUTTERS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Degradation:
    """What is done to an image.

    Attributes:
      settings: of levels 1, 2, …; our choice, from hardly seen to worse than clinics send.
      unit: of a setting.
      change: (uint8 `[H, W, 3]`, setting, where in [0, 1]² it is done) → the same shape.
    """

    settings: tuple[float, ...]
    unit: str
    change: Callable[[np.ndarray, float, np.ndarray], np.ndarray]


def degraded(image: np.ndarray, name: str, level: int, case_id: str) -> np.ndarray:
    """uint8 `[H, W, 3]` at a level of the degradation; what is drawn goes by the case alone.

    The image itself at level 0.
    """
    if not level:
        return image
    found = DEGRADATIONS[name]
    where = np.random.default_rng(zlib.crc32(case_id.encode(errors="backslashreplace"))).random(2)
    return found.change(image, found.settings[level - 1], where)


def _blurred(image: np.ndarray, percent: float, _) -> np.ndarray:
    sigma = percent / 100 * min(image.shape[:2])
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def _compressed(image: np.ndarray, quality: float, _) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file).convert("RGB"))


def _exposed(image: np.ndarray, stops: float, _) -> np.ndarray:
    """As much more light, a factor of 2 a stop; what is too bright is white, as in a camera."""
    value = np.arange(256) / 255  # sRGB, IEC 61966-2-1
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = np.clip(light * 2.0**stops, 0, 1)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(value * 255).astype(np.uint8)[image]


def _cropped(image: np.ndarray, percent: float, where: np.ndarray) -> np.ndarray:
    """The middle, moved at most by half of what is cut off at a side, at the size of the whole."""
    picture = Image.fromarray(image)
    size = np.array(picture.size)
    side = size * percent / 100
    corner = (size - side) * (0.25 + 0.5 * where)
    box = (*corner, *np.minimum(corner + side, size))
    return np.asarray(picture.resize(picture.size, Image.Resampling.BICUBIC, box=box))


DEGRADATIONS: Mapping[str, Degradation] = {
    "blur": Degradation((0.5, 1, 2, 4), "sigma in % of the shorter side", _blurred),
    "jpeg": Degradation((50, 25, 10, 5), "JPEG quality", _compressed),
    "darker": Degradation((-0.5, -1, -2, -3), "stops of exposure", _exposed),
    "brighter": Degradation((0.5, 1, 1.5, 2), "stops of exposure", _exposed),
    "crop": Degradation((90, 75, 60, 45), "% of each side kept", _cropped),
}


class DegradedRecords(RecordSet):
    """Records whose images are changed as they are read; all else is that of `records`.

    `change` gives the images of a record, of the same sizes as they were.
    """

    def __init__(self, records: RecordSet, change: Callable[[Record], Iterable[np.ndarray]]):
        vars(self).update(vars(records))
        self._change = change

    def __getitem__(self, index: int) -> Record:
        record = super().__getitem__(index)
        return replace(record, images=tuple(self._change(record)))

    def select(self, indices: Sequence[int]) -> "DegradedRecords":
        """As in `RecordSet`."""
        return DegradedRecords(super().select(indices), self._change)


def with_degradation(records: RecordSet, name: str, level: int) -> RecordSet:
    """The records with every image at a level of the degradation."""

    def change(record: Record) -> list[np.ndarray]:
        return [degraded(image, name, level, record.case.case_id) for image in record.images]

    return DegradedRecords(records, change)


def with_clutter(
    records: RecordSet, source: ProceduralSource, clutter: float, **budget: int
) -> RecordSet:
    """Drawn records with another clutter: the skin and lesions underneath are the same.

    `source`: what the records were built from, `budget`: `resize`'s, by which they were resized.
    """
    again = ProceduralSource(
        split=source.split,
        seed=source.seed,
        count=source.count,
        image_size=source.image_size,
        clutter=clutter,
    )
    numbers = {source.case(number).case_id: number for number in range(len(source))}

    def change(record: Record) -> list[np.ndarray]:
        images = again.images(numbers[record.case.case_id])
        return [resize(image, **budget) for image in images]

    return DegradedRecords(records, change)
