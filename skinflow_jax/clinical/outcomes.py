"""What a ranked list of diagnoses means for the patient: rank, safety, missed, over-triaged."""

from collections.abc import Sequence
from typing import NamedTuple

from skinflow_jax.clinical.names import read_name
from skinflow_jax.clinical.ontology import Ontology, ontology
from skinflow_jax.clinical.ontology_disease import Disease
from skinflow_jax.clinical.relations import Safety, kinds, known_disease, relation
from skinflow_jax.clinical.safety import MALIGNANT, over_triaged, urgency_lost, urgent


class Outcome(NamedTuple):
    """Of a list of diagnoses, best first, against the true one.

    `rank`: from 1, of the first accepted; None without one. `safety`: of the first. `known`:
    whether the ontology knows the truth. `malignancy_missed`: where the truth is malignant or in
    situ, whether the first is neither accepted nor such a disease (unknown and broad names miss it
    too), and `malignancy_missed_in_six` whether none of all is; `urgent_missed`: where the truth is
    urgent or an emergency, whether the first can wait longer; `over_triaged`: where the truth can
    wait, whether the first is urgent. The last four are None where the truth is not of that kind,
    or a broad class of both.
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
    known = ontology()
    relations = [relation(name, reference) for name in ranked]
    rank = next((i for i, found in enumerate(relations, start=1) if found.accepted), None)
    safety = relations[0].safety if relations else "undetermined"
    truth = known_disease(reference, known)
    if truth is None:
        return Outcome(rank, safety, False, *[None] * 4)
    guesses = [_guess(name, truth, known) for name in ranked]
    first = guesses[0] if guesses else None
    possible = kinds(known, truth)
    malignant = bool(possible) and all(kind.nature in MALIGNANT for kind in possible)
    pressing = {urgent(kind) for kind in possible}
    accepted = rank == 1
    return Outcome(
        rank,
        safety,
        True,
        not accepted and not _malignant(first) if malignant else None,
        rank is None and not any(map(_malignant, guesses)) if malignant else None,
        not accepted and _urgency_missed(first, possible) if pressing == {True} else None,
        not accepted and first is not None and all(over_triaged(first, k) for k in possible)
        if pressing == {False}
        else None,
    )


def _guess(name: str, truth: Disease, known: Ontology) -> Disease | None:
    """The answerable disease that a name stands for, as it is read beside this truth."""
    found = read_name(name, known).fitting(truth)
    return found if found is not None and found.answerable else None


def _malignant(guess: Disease | None) -> bool:
    return guess is not None and guess.nature in MALIGNANT


def _urgency_missed(guess: Disease | None, possible: Sequence[Disease]) -> bool:
    return guess is None or any(urgency_lost(guess, kind) for kind in possible)
