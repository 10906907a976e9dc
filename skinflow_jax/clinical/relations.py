"""How a predicted diagnosis relates to the true one, by kind and by what an error would cost.

The verdicts (correct, subclass, safety-critical wrong, wrong) follow third-party notes of the
paper; the finer kinds and the treatment of precancer are our choice.
"""

from typing import Literal, NamedTuple

from skinflow_jax.clinical.ontology import Disease, ancestors, find
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError

Kind = Literal["exact", "synonym", "subclass", "sibling", "unrelated", "invalid"]


class Relation(NamedTuple):
    """The verdict on one prediction.

    `kind`: exact (the same name), synonym, subclass (subtype or parent), sibling (a shared direct
    parent), unrelated, invalid (nothing named). `accepted`: one of the first three.
    `safety_critical`: not accepted, and crosses benign and malignant or infectious and not;
    premalignant crosses neither way, names outside the ontology never do.
    `management_consistent`: the same class of first step.
    """

    kind: Kind
    accepted: bool
    safety_critical: bool
    management_consistent: bool


def relation(prediction: str, reference: str) -> Relation:
    """Relation of `prediction` to `reference`, both names as written by a model or a data set.

    A name outside the ontology equals only itself. Raises InputError when the reference is empty.
    """
    if not normalise(reference):
        raise InputError("the reference diagnosis is empty: give a disease name")
    if not normalise(prediction):
        return Relation("invalid", False, False, False)
    guess, truth = find(prediction), find(reference)
    if normalise(prediction) == normalise(reference):
        return Relation("exact", True, False, True)
    if guess is None or truth is None:
        return Relation("unrelated", False, False, False)
    kind = _kind(guess, truth)
    accepted = kind in ("synonym", "subclass")
    critical = not accepted and _crosses_safety(guess, truth)
    return Relation(kind, accepted, critical, _same_management(guess, truth))


def _kind(guess: Disease, truth: Disease) -> Kind:
    if guess is truth:
        return "synonym"
    upper = guess if guess.name in ancestors(truth) else truth
    lower = truth if upper is guess else guess
    if upper.name in ancestors(lower) and upper.specific:
        return "subclass"
    return "sibling" if set(guess.parents) & set(truth.parents) else "unrelated"


def _crosses_safety(guess: Disease, truth: Disease) -> bool:
    opposite = {guess.malignancy, truth.malignancy} == {"benign", "malignant"}
    infections = {guess.infection, truth.infection}
    return opposite or infections == {True, False}


def _same_management(guess: Disease, truth: Disease) -> bool:
    return guess is truth or (guess.management == truth.management != "mixed")
