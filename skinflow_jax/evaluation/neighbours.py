"""The nearest-neighbour floor: what is reached by the diagnoses of the labelled cases whose images
the vision tower finds most alike, without a word of the language model."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from skinflow_jax.clinical import first_accepted, ontology
from skinflow_jax.clinical.names import find
from skinflow_jax.clinical.parsing import MOST_DIAGNOSES
from skinflow_jax.evaluation.floor import DiagnosesReached, diagnoses_reached
from skinflow_jax.evaluation.predictions import Prediction

_SAME = 12
"""Similarities that are equal to so many decimals are a tie: products are rounded otherwise."""


@dataclass(frozen=True)
class Neighbours:
    """Six diagnoses at most by case id, the nearest first; `labelled`: among how many cases.

    `none`: why there are no lists, in words.
    """

    labelled: int
    lists: Mapping[str, tuple[str, ...]]
    none: str = ""


@dataclass(frozen=True)
class NeighboursReached:
    """What the lists of the neighbours reach on evaluated cases; None where there are none."""

    neighbours: Neighbours
    reached: DiagnosesReached | None

    def to_dict(self) -> dict:
        """What metrics.json holds."""
        found: dict = {"labelled cases": self.neighbours.labelled}
        if self.reached is None:
            return found | {"none": self.neighbours.none}
        return found | self.reached.to_dict()

    def line(self) -> str:
        """In words."""
        if self.reached is None:
            return f"nearest neighbour: none, {self.neighbours.none}"
        return (
            f"nearest neighbour, diagnosis reward {self.reached.told()}: the diagnoses of the "
            f"nearest of {self.neighbours.labelled:,} labelled cases by the vision tower's features"
        )


def neighbours_of(
    heldout: Mapping[str, Float[np.ndarray, " D"]],
    labelled: Mapping[str, Float[np.ndarray, " D"]],
    labels: Mapping[str, str],
) -> Neighbours:
    """The lists of held-out cases; features and `labels`, the diagnoses, by case id."""
    if not labelled:
        return Neighbours(0, {}, "since no labelled case was looked at")
    broken = sum(not np.isfinite(x).all() for x in (*heldout.values(), *labelled.values()))
    if broken:
        why = f"since the features of {broken:,} cases are not finite: is the model damaged?"
        return Neighbours(len(labelled), {}, why)
    known, names = ontology(), {}
    for label in set(labels.values()):
        disease = find(label, known)
        names[label] = label if disease is None else disease.name
    diseases = [names[labels[case]] for case in labelled]
    if not heldout:
        return Neighbours(len(labelled), {}, "since no diagnosis was asked for")
    lists = nearest_diseases(
        np.stack(list(heldout.values())), np.stack(list(labelled.values())), diseases
    )
    return Neighbours(len(labelled), dict(zip(heldout, lists, strict=True)))


def nearest_diseases(
    features: Float[np.ndarray, "N D"], among: Float[np.ndarray, "M D"], diseases: Sequence[str]
) -> list[tuple[str, ...]]:
    """The six first different `diseases` `[M]` in the order of falling cosine similarity.

    Of cases that are equally near the first comes first; a vector of zeros is like none (0).
    """
    among, lists = _normalised(among), []
    for row in _normalised(features):
        order = np.argsort(-np.round(among @ row, _SAME), kind="stable")
        different = dict.fromkeys(diseases[n] for n in order)
        lists.append(tuple(itertools.islice(different, MOST_DIAGNOSES)))
    return lists


def neighbours_reached(
    neighbours: Neighbours, diagnoses: Sequence[Prediction], **named
) -> NeighboursReached:
    """The lists as answers to the same cases; `named`: options of `mean_with_interval`."""
    if neighbours.none or not diagnoses:
        return NeighboursReached(neighbours, None)
    once: dict = {}
    for p in diagnoses:
        asked = neighbours.lists[p.case_id], p.reference
        if asked not in once:
            once[asked] = first_accepted(json.dumps({"diagnoses": asked[0]}), p.reference)
    ranks = [once[neighbours.lists[p.case_id], p.reference] for p in diagnoses]
    return NeighboursReached(neighbours, diagnoses_reached(ranks, **named))


def _normalised(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)
