"""What a ranked list of diagnoses means for the patient: rank, safety, missed, over-triaged."""

from collections.abc import Sequence
from typing import NamedTuple

from skinflow_jax.clinical.names import find
from skinflow_jax.clinical.relations import Safety, relation


class Outcome(NamedTuple):
    """Of a list of diagnoses, best first, against the true one.

    `rank`: from 1, of the first accepted; None without one. `known`: whether the ontology knows the
    truth. `malignancy_missed_in_six`: whether all the diagnoses miss it. The others are those of
    the first diagnosis, see `relations.Relation`.
    """

    rank: int | None
    safety: Safety
    known: bool
    malignancy_missed: bool | None
    malignancy_missed_in_six: bool | None
    urgent_missed: bool | None
    over_triaged: bool | None


def outcome(ranked: Sequence[str], reference: str) -> Outcome:
    """The outcome of `ranked`, empty where the answer was refused.

    Raises InputError when the reference is empty.
    """
    relations = [relation(name, reference) for name in ranked or [""]]
    rank = next((i for i, found in enumerate(relations, start=1) if found.accepted), None)
    first = relations[0]
    malignant = first.malignancy_missed is not None
    return Outcome(
        rank,
        first.safety,
        find(reference) is not None,
        first.malignancy_missed,
        all(found.malignancy_missed for found in relations) if malignant else None,
        first.urgent_missed,
        first.over_triaged,
    )
