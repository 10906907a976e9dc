"""Who is to be described: an id, its images, the known diagnosis."""

import base64
import functools
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from skinflow_jax.clinical.wording import normalise
from skinflow_jax.data.record_set import RecordSet

_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Subject:
    """One lesion. `images`: uint8 `[H, W, 3]` arrays, or the bytes of JPEG or PNG files."""

    case_id: str
    images: tuple[np.ndarray | bytes, ...]
    diagnosis: str

    @functools.cached_property
    def digests(self) -> list[str]:
        """sha256 of each image's pixels or bytes: the same whatever encodes them."""
        return [_digest(image) for image in self.images]

    def data_urls(self) -> list[str]:
        """Each image as a base64 data URL."""
        return [_data_url(image) for image in self.images]


def subjects_of(records: RecordSet) -> Iterator[Subject]:
    """The cases of records that have a diagnosis; `undiagnosed` counts the others."""
    for index in range(len(records)):
        if normalise(records.case(index).diagnosis):
            record = records[index]
            yield Subject(record.case.case_id, tuple(record.images), record.case.diagnosis)


def undiagnosed(records: RecordSet) -> int:
    """Cases without a diagnosis: no rule could accept a caption of theirs."""
    return sum(not normalise(records.case(index).diagnosis) for index in range(len(records)))


def _digest(image: np.ndarray | bytes) -> str:
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    shape = str(image.shape).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(image).tobytes()).hexdigest()


def _data_url(image: np.ndarray | bytes) -> str:
    if isinstance(image, bytes):
        kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
        data = image
    else:
        kind, file = "jpeg", io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=_QUALITY, subsampling=0)
        data = file.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
