"""What every source of images offers: numbered cases, their images, a closed list of diagnoses."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Caption = dict[str, str | list[str]]


@dataclass(frozen=True)
class Case:
    """What is known of one image without decoding it.

    Attributes:
        case_id: unique within the source.
        group: patient or lesion; no split ever cuts a group.
        caption: the caption-schema fields that are known; an absent field is unknown.
        diagnosis: a canonical name of `skinflow_jax.clinical.ontology`.
        attributes: facts for subgroup metrics, such as `{"fitzpatrick": 4}`.
    """

    case_id: str
    group: str
    caption: Caption
    diagnosis: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """A split of a data set: `len(source)` cases, numbered from 0.

    It may also have `note`, its licence or synthetic origin, and `remarks`, lines about its table
    and images such as rows left out; both are kept with the records.
    """

    name: str
    diagnoses: tuple[str, ...]

    def __len__(self) -> int:
        """The number of cases of this split."""
        ...

    def case(self, index: int) -> Case:
        """The case; raises InputError naming the file and row of a bad entry."""
        ...

    def image(self, index: int) -> np.ndarray:
        """The image, uint8 [H, W, 3]; raises InputError naming a bad or missing file."""
        ...

    def image_digest(self, index: int) -> str:
        """Changes whenever the image does, known without decoding; raises InputError as above."""
        ...
