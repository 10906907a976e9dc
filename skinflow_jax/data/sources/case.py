"""What every source of images offers: numbered cases, their images, a closed list of diagnoses."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema

Caption = dict[str, str | list[str]]

MARK = "<image>"
"""Where an image stands in a row's own prompt."""


@dataclass(frozen=True)
class Case:
    """What is known of one lesion, or of one row, without decoding its images.

    Attributes:
        case_id: unique within the source.
        group: patient or lesion; no split ever cuts a group.
        caption: the caption-schema fields that are known; an absent field is unknown.
        diagnosis: the certain or heaviest one: a canonical name of `skinflow_jax.clinical.ontology`
            where it knows the disease, else the label as the owner writes it; "" where none is
            known.
        attributes: facts for subgroup metrics, such as `{"fitzpatrick": 4}`.
        views: one entry an image: "clinical", "close-up", "dermoscopic", … or "" where it is not
            told. Their number is the number of images.
        soft: weights of several diagnoses, which sum to 1; empty where there is one or none.
        prompt: the row's own question, with exactly one `MARK` an image; "" where it has none.
        answer: the row's own answer; "" where it has none.
        columns: the row's further columns, JSON values, for rewards of the user's. Some give the
            diagnosis away: no prompt is made from any of them, nor from `attributes`.
        split: where the data set itself puts the case, in the owner's word; "" where it does not.
        mask: whether the source has a mask of the lesion in image 0.
    """

    case_id: str
    group: str
    caption: Caption
    diagnosis: str
    attributes: dict[str, Any] = field(default_factory=dict)
    views: tuple[str, ...] = ("",)
    soft: dict[str, float] = field(default_factory=dict)
    prompt: str = ""
    answer: str = ""
    columns: dict[str, Any] = field(default_factory=dict)
    split: str = ""
    mask: bool = False

    def __post_init__(self):
        # JSON has no tuples: a case that was written and read is the same.
        object.__setattr__(self, "views", tuple(self.views))


class Source(Protocol):
    """A split of a data set: `len(source)` cases, numbered from 0.

    It may also have `note`, its licence or synthetic origin, and `remarks`, lines about its table
    and images such as rows left out; both are kept with the records; `schema`, that of its captions
    where it is not the program's own. One whose cases have `mask`
    has a method of that name (see `WholeSource`).
    """

    name: str
    diagnoses: tuple[str, ...]

    def __len__(self) -> int:
        """The number of cases of this split."""
        ...

    def case(self, index: int) -> Case:
        """The case; raises InputError naming the file and row of a bad entry."""
        ...

    def images(self, index: int) -> list[np.ndarray]:
        """Its images, uint8 [H, W, 3]; raises InputError naming a bad or missing file."""
        ...

    def image_digests(self, index: int) -> list[str]:
        """Of each image; changes whenever it does, known without decoding; raises as above."""
        ...


def schema_of(source: Any) -> Schema:
    """The schema of the captions of a source or of records."""
    return getattr(source, "schema", CLINICAL)
