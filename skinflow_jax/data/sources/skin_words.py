"""Descriptions that others wrote of Fitzpatrick17k's images: SkinCon's concepts, SkinCAP's text."""

from collections.abc import Collection
from pathlib import Path

from skinflow_jax.data.sources.id_lists import bare
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.errors import InputError

Joined = tuple[dict, tuple[str, ...]]
_NO_IMAGE = "Do not consider this image"
_CAPTION = "caption_zh_polish_en"
_TEXTS = ("caption_zh", "caption_zh_polish", _CAPTION, "remark")
_PATHS = ("ori_file_path", "skincap_file_path")


def read_skincon(path: Path, names: Collection[str]) -> Joined:
    """Concepts by md5 name, and remarks: `ImageID` and a column of 0 and 1 for each concept.

    An image that the annotators ask not to consider has none, nor has a row with a cell that is
    neither 0 nor 1. Raises InputError naming the file where it is another.
    """
    table = read_table(path, ["ImageID"], remedy="give SkinCon's table of Fitzpatrick17k")
    others = ("", "ImageID", _NO_IMAGE)
    concepts = [column for column in table.header if column not in others]
    rows, repeated = table.unique("ImageID")
    found, faults = {}, []
    for row in rows:
        try:
            if not row.whole(_NO_IMAGE, 0, 1):
                name = bare(row.needed("ImageID"))
                found[name] = [concept for concept in concepts if _is(row, concept)]
        except InputError as error:
            faults.append(f"no concepts are read: {error}")
    return found, (*table.remarks, *repeated, *faults)


def _is(row: TableRow, concept: str) -> bool:
    value = row.whole(concept, 0, 1)
    if value is None:
        raise row.wrong(concept, "0 or 1")
    return bool(value)


def read_skincap(path: Path, names: Collection[str]) -> Joined:
    """Captions in English by md5 name, and remarks; rows of other data sets are passed over.

    Raises InputError naming the file where it has no captions or names no image.
    """
    table = read_table(path, [_CAPTION], remedy="give SkinCAP's table", free_text=_TEXTS)
    columns = [column for column in _PATHS if column in table.header]
    if not columns:
        raise InputError(f"{path}: has none of the columns {', '.join(_PATHS)} that name an image")
    found: dict[str, str] = {}
    faulty = 0
    for row in table.rows:
        name = next((bare(row.raw(c)) for c in columns if bare(row.raw(c)) in names), None)
        faulty += bool(row.fault)
        if name and row.text(_CAPTION):
            found[name] = " ".join(row.text(_CAPTION).split())
    remarks = (f"{path}: {faulty:,} rows cannot be read",) if faulty else ()
    if not found:
        raise InputError(f"{path}: none of its images is in the table; is it of this data?")
    return found, (*table.remarks, *remarks)
