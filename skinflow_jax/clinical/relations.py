"""How a predicted diagnosis relates to the true one, and what acting on it would cost the patient.

What is accepted follows third-party notes of the paper (correct or a subclass); the kinds and the
three values of safety are our choice, docs/safety.md gives the tables.
"""

import functools
from typing import Literal, NamedTuple

from skinflow_jax.clinical.contraries import contrary
from skinflow_jax.clinical.names import Reading, Unread, read_name
from skinflow_jax.clinical.ontology import Ontology, ontology
from skinflow_jax.clinical.ontology_disease import Disease
from skinflow_jax.clinical.safety import MALIGNANT, critical, urgency_lost, urgent
from skinflow_jax.clinical.wording import normalise, same_answer
from skinflow_jax.errors import InputError

Kind = Literal["exact", "synonym", "subclass", "sibling", "unrelated", "invalid"]
Safety = Literal["critical", "undetermined", "none"]

_REMEMBERED = 100_000
_SHORT = 200
"""Characters of a name whose relation is remembered."""


class Relation(NamedTuple):
    """How one prediction relates to the reference.

    `kind`: exact (the same name), synonym, subclass (subtype or parent), sibling (a shared direct
    parent), unrelated, invalid (nothing named). `accepted`: one of the first three. `safety`:
    "critical" where acting on it harms or delays what cannot wait, "undetermined" where what is
    meant is unknown, too broad or nothing, else "none". `management_consistent`: the same first
    step.

    `malignancy_missed`: where the truth is malignant or in situ, whether the prediction is neither
    accepted nor such a disease (unknown and broad names miss it too). `urgent_missed`: where the
    truth is urgent or an emergency, whether the prediction can wait longer. `over_triaged`: where
    the truth can wait, whether the prediction is urgent. None where the truth is not of that kind,
    a broad class of both, or unknown. `actionable`: whether the prediction is accepted, or a
    disease that could be acted on: no class, nothing unknown.
    """

    kind: Kind
    accepted: bool
    safety: Safety
    management_consistent: bool
    malignancy_missed: bool | None = None
    urgent_missed: bool | None = None
    over_triaged: bool | None = None
    actionable: bool = False

    @property
    def safety_critical(self) -> bool:
        """Whether `safety` is "critical"."""
        return self.safety == "critical"


def relation(prediction: str, reference: str) -> Relation:
    """Relation of `prediction` to `reference`, both names as written by a model or a data set.

    A name outside the ontology equals only itself. A reference that is a broad class is met by its
    kinds and by its own name; as a prediction a broad class meets nothing else. Raises InputError
    when the reference is empty.
    """
    if len(prediction) > _SHORT or len(reference) > _SHORT:
        return _relation(ontology(), prediction, reference)
    return _remembered(ontology(), prediction, reference)


def _relation(known: Ontology, prediction: str, reference: str) -> Relation:
    if not normalise(reference):
        raise InputError("the reference diagnosis is empty: give a disease name")
    reading, true = read_name(prediction, known), read_name(reference, known)
    truth, empty = true.disease, reading.unread is Unread.EMPTY
    if truth is None and not empty:
        return _by_name(reading, prediction, reference)
    guess = reading.fitting(truth) if truth else None
    if guess is None:
        kind = "invalid" if empty else "unrelated"
        return Relation(kind, False, "undetermined", False, *_costs(known, None, truth))
    found = related(known, guess, truth)
    if found.accepted and contrary(reading, guess, true, truth):
        return _related(known, guess, truth, "sibling")
    same = found.kind == "synonym" and normalise(prediction) == normalise(reference)
    return found._replace(kind="exact") if same else found


def related(known: Ontology, guess: Disease, truth: Disease) -> Relation:
    """The relation of two diseases or classes of the ontology; the same one is a synonym."""
    return _related(known, guess, truth, _kind(known, guess, truth))


def _related(known: Ontology, guess: Disease, truth: Disease, kind: Kind) -> Relation:
    accepted = kind in ("synonym", "subclass")
    managed = guess is truth or guess.first_step == truth.first_step != ""
    safety = _safety(known, guess, truth, accepted)
    acted_on = guess if guess.answerable else None
    costs = tuple(
        None if cost is None else cost and not accepted for cost in _costs(known, acted_on, truth)
    )
    return Relation(kind, accepted, safety, managed, *costs, accepted or guess.answerable)


_remembered = functools.lru_cache(maxsize=_REMEMBERED)(_relation)


def _by_name(reading: Reading, prediction: str, reference: str) -> Relation:
    """To a reference that no row knows: its own name, and nothing that names a disease."""
    plain = reading.unread is Unread.UNKNOWN and normalise(prediction) == normalise(reference)
    if plain or same_answer(prediction, reference):
        return Relation("exact", True, "none", True, actionable=True)
    return Relation("unrelated", False, "undetermined", False)


def _kind(known: Ontology, guess: Disease, truth: Disease) -> Kind:
    if guess is truth:
        return "synonym"
    is_a = truth.name in known.ancestors(guess) or guess.name in known.ancestors(truth)
    if is_a and guess.answerable:
        return "subclass"
    return "sibling" if set(guess.parents) & set(truth.parents) else "unrelated"


def _safety(known: Ontology, guess: Disease, truth: Disease, accepted: bool) -> Safety:
    """Against each kind of a broad reference; where they differ, nothing is said.

    A broad guess may be critical by what all its kinds share, and is never safe.
    """
    if accepted:
        return "none"
    if not guess.told:
        return "undetermined"
    verdicts = (critical(guess, kind) for kind in kinds(known, truth))
    first = next(verdicts, None)
    if first is None or any(verdict is not first for verdict in verdicts):
        return "undetermined"
    if first:
        return "critical"
    return "none" if guess.answerable else "undetermined"


def _costs(
    known: Ontology, guess: Disease | None, truth: Disease | None
) -> tuple[bool | None, bool | None, bool | None]:
    """Whether `guess` (None: nothing to act on) misses a malignancy or urgency, or over-triages."""
    possible = kinds(known, truth) if truth else ()
    malignant = bool(possible) and all(kind.nature in MALIGNANT for kind in possible)
    pressing = {urgent(kind) for kind in possible}
    return (
        (guess is None or guess.nature not in MALIGNANT) if malignant else None,
        (guess is None or any(urgency_lost(guess, k) for k in possible))
        if pressing == {True}
        else None,
        (guess is not None and urgent(guess)) if pressing == {False} else None,
    )


def kinds(known: Ontology, truth: Disease) -> tuple[Disease, ...]:
    """What a reference may be: itself, or the answerable kinds of a class that varies."""
    return (truth,) if truth.told else known.kinds[truth.name]
