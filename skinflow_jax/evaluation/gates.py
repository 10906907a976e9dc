"""Do the gates of the dynamic vision encoder listen to the image? Their figures over held-out ones.

Of the gates of the frequency groups: how far each stands from 1, at which it changes nothing, how
much it differs among images, and which are higher for the images of a partition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from skinflow_jax.evaluation.predictions import Prediction

VERSION = 1
FILE = "gates.json"
_DIGITS = 6  # gates are float32

Map = tuple[int, str]
"""A dynamic linear map: its block, and its name in it."""


@dataclass(frozen=True)
class ImageGates:
    """The gates of the frequency groups of one image of a case, by map."""

    case_id: str
    gates: Mapping[Map, Float[np.ndarray, " groups"]]


@dataclass(frozen=True)
class Part:
    """The images of one partition: how many, and their mean gates less those of all images."""

    images: int
    difference: Mapping[Map, Float[np.ndarray, " groups"]]


@dataclass(frozen=True)
class GateSummary:
    """Over `images` images of `cases` cases, of the `of` that are held out.

    `spread` is the standard deviation among images; `partitions`: by scheme, then by its value.
    """

    images: int
    cases: int
    of: int
    mean: Mapping[Map, Float[np.ndarray, " groups"]]
    spread: Mapping[Map, Float[np.ndarray, " groups"]]
    partitions: Mapping[str, Mapping[str, Part]]

    def to_dict(self) -> dict[str, Any]:
        """What gates.json holds; docs/report.md is its schema."""
        return {
            "version": VERSION,
            "images": self.images,
            "cases": self.cases,
            "of": self.of,
            "maps": [
                {
                    "block": block,
                    "map": name,
                    "mean": _numbers(self.mean[block, name]),
                    "spread": _numbers(self.spread[block, name]),
                }
                for block, name in self.mean
            ],
            "partitions": {
                scheme: {
                    value: {
                        "images": part.images,
                        "difference": [_numbers(part.difference[each]) for each in self.mean],
                    }
                    for value, part in parts.items()
                }
                for scheme, parts in self.partitions.items()
            },
        }


def summarise_gates(
    found: Sequence[ImageGates], predictions: Sequence[Prediction], *, of: int
) -> GateSummary:
    """Figures of the gates `found`, at least one; partitions are those of the predictions.

    `of`: how many cases are held out.
    """
    stacked = {each: np.stack([image.gates[each] for image in found]) for each in found[0].gates}
    mean = {each: values.mean(axis=0, dtype=float) for each, values in stacked.items()}
    spread = {each: values.std(axis=0, dtype=float) for each, values in stacked.items()}
    rows: dict[str, dict[str, list[int]]] = {}
    partitions = {p.case_id: p.partitions for p in predictions}
    for row, image in enumerate(found):
        for scheme, value in partitions.get(image.case_id, {}).items():
            rows.setdefault(scheme, {}).setdefault(value, []).append(row)

    def part(chosen: list[int]) -> Part:
        differences = {
            each: values[chosen].mean(axis=0, dtype=float) - mean[each]
            for each, values in stacked.items()
        }
        return Part(len(chosen), differences)

    parts = {
        scheme: {value: part(rows[scheme][value]) for value in sorted(rows[scheme])}
        for scheme in sorted(rows)
    }
    cases = len({image.case_id for image in found})
    return GateSummary(len(found), cases, of, mean, spread, parts)


def _numbers(values: Float[np.ndarray, " groups"]) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
