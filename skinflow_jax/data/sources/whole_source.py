"""A whole data set: all its cases and their images; who splits it sees all sources of a build."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Generic, TypeVar

import numpy as np

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.errors import InputError
from skinflow_jax.typed_fields import Place, check_fields

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class TableOptions:
    """The `table` (under its usual name when None) and the folder of `images`, below the root."""

    table: Annotated[str, Place()] | None = None
    images: Annotated[str, Place()] | None = None

    def __post_init__(self):
        check_fields(self, "data.options.")

    def table_in(self, root: Path, *usual: str) -> Path:
        """The table that is named, or the first of the usual ones that is there."""
        if self.table is not None:
            return root / self.table
        return next((root / name for name in usual if (root / name).is_file()), root / usual[0])


class WholeSource(Generic[Entry]):
    """`len(source)` cases, numbered from 0, each with one or more images.

    A class of its own for each data set says whose it is, under which licence and which files it
    expects; its `Options` are a frozen dataclass. It fills `_entries` and `remarks` when it is made
    and answers `_case` and `_pictures` of an entry.

    A row that is wrong stops nobody else: it is an entry too, and what is asked of it raises
    InputError naming file, row, column and remedy. What a table says twice or contradictorily is
    no entry but a remark.

    Attributes:
        name: as in the catalogue.
        note: the licence, and what it forbids.
        diagnoses: the closed list of names that a case's diagnosis comes from.
        remarks: lines about the table and the files: what was left out and why.
        schema: of the captions that the person's own words are read by.
    """

    Options: ClassVar[type]
    name: ClassVar[str]
    note: ClassVar[str] = ""
    diagnoses: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    schema: Schema = CLINICAL
    _entries: list[Entry]

    def take_schema(self, schema: Schema) -> None:
        """Read captions by another schema; raises ConfigError where the options do not fit it."""
        self.schema = schema

    def __len__(self) -> int:
        """The number of cases."""
        return len(self._entries)

    def case(self, index: int) -> Case:
        """The case; raises InputError naming the file, row and column of a bad entry."""
        return self._case(self._entries[index])

    def images(self, index: int) -> list[np.ndarray]:
        """Its images in the order of `Case.views`, uint8 `[H, W, 3]` each, upright.

        Raises InputError naming a file that is missing or cannot be used.
        """
        return [picture.load() for picture in self._pictures(self._entries[index])]

    def image_digests(self, index: int) -> list[str]:
        """sha256 of the bytes of each image, then of the mask; raises as `images`."""
        entry = self._entries[index]
        mask = self._mask(entry)
        pictures = [*self._pictures(entry), *([mask] if mask else [])]
        return [picture.digest() for picture in pictures]

    def mask(self, index: int, size: tuple[int, int]) -> np.ndarray | None:
        """The lesion in image 0, bool `[H, W]`; None where it is not known.

        `size` is (H, W) of that image. Raises InputError naming a mask that is missing, cannot be
        used or is of another size.
        """
        picture = self._mask(self._entries[index])
        if picture is None:
            return None
        levels = picture.load(opaque=True)[..., 0]
        if 0 < levels.max() < 128:
            raise InputError(
                f"{picture.name}: the brightest of its pixels is {levels.max()} of 255: save the "
                "mask black and white"
            )
        mask = levels > 127
        if mask.shape != size:
            raise InputError(
                f"{picture.name}: a mask of {mask.shape} pixels for an image of {size}; make their "
                "sizes equal or remove the mask"
            )
        return mask

    def _case(self, entry: Entry) -> Case:
        raise NotImplementedError

    def _pictures(self, entry: Entry) -> list[Picture]:
        raise NotImplementedError

    def _mask(self, entry: Entry) -> Picture | None:
        """White where the lesion is, in image 0; `Case.mask` says whether there is one."""
        return None
