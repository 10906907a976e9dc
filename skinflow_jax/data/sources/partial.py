"""Tables that are larger than what a person has of their images."""

from collections.abc import Callable
from pathlib import Path

from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.errors import InputError

_NAMED = 3


def with_images(
    rows: list[TableRow],
    images: ImageFiles,
    name: Callable[[TableRow], str],
    table: Path,
    has: Callable[[ImageFiles, str], bool] = ImageFiles.has_stem,
) -> tuple[list[TableRow], tuple[str, ...]]:
    """The rows that have an image, or cannot say which, and a line about how many have none.

    `name` of a row is its image's stem, or what `has` asks the images for. Raises InputError where
    no row has one.
    """
    absent = [row for row in rows if name(row) and not has(images, name(row))]
    if len(absent) == len(rows):
        raise InputError(
            f"{table}: none of its {len(rows):,} images is below {images.root}; give the folder of "
            "the images as data.options.images"
        )
    if not absent:
        return rows, ()
    gone = {id(row) for row in absent}
    first = ", ".join(name(row) for row in absent[:_NAMED])
    return [row for row in rows if id(row) not in gone], (
        f"{len(absent):,} of {len(rows):,} rows left out, their images are absent: {first}"
        + (", …" if len(absent) > _NAMED else ""),
    )
