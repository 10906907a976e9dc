"""What the records of a source would be made of, known without decoding an image."""

import os
from concurrent.futures import ThreadPoolExecutor

from skinflow_jax.data.manifest import hash_of
from skinflow_jax.data.sources.case import Source
from skinflow_jax.errors import InputError

_UNREADABLE = "unreadable"


def content_of(source: Source) -> dict[str, str]:
    """Hashes of all fields of all cases (`labels`) and of all images (`images`), in order.

    Reads every byte of the image files: sizes and times of files can stay when they are exchanged.
    """

    def labels(index: int):
        try:
            return vars(source.case(index))
        except InputError:
            return _UNREADABLE

    def image(index: int) -> str | list[str]:
        try:
            return source.image_digests(index)
        except InputError:
            return _UNREADABLE

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = list(pool.map(image, range(len(source))))
    return {"labels": hash_of([labels(i) for i in range(len(source))]), "images": hash_of(images)}
