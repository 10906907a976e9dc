"""How a predicted diagnosis relates to the true one, and what acting on it would cost the patient.

What is accepted follows third-party notes of the paper (correct or a subclass); the kinds and the
three values of safety are our choice, docs/safety.md gives the tables.
"""

import functools
from typing import Literal, NamedTuple

from skinflow_jax.clinical.names import Reading, Unread, read_name
from skinflow_jax.clinical.ontology import Ontology, ontology
from skinflow_jax.clinical.ontology_disease import Disease
from skinflow_jax.clinical.safety import critical
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
    """

    kind: Kind
    accepted: bool
    safety: Safety
    management_consistent: bool

    @property
    def safety_critical(self) -> bool:
        """Whether `safety` is "critical"."""
        return self.safety == "critical"


_INVALID = Relation("invalid", False, "undetermined", False)


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
    reading, truth = read_name(prediction, known), known_disease(reference, known)
    if reading.unread is Unread.EMPTY:
        return _INVALID
    if truth is None:
        return _by_name(reading, prediction, reference)
    guess = reading.fitting(truth)
    if guess is None:
        return Relation("unrelated", False, "undetermined", False)
    found = related(known, guess, truth)
    same = found.kind == "synonym" and normalise(prediction) == normalise(reference)
    return found._replace(kind="exact") if same else found


def related(known: Ontology, guess: Disease, truth: Disease) -> Relation:
    """The relation of two diseases or classes of the ontology; the same one is a synonym."""
    kind = _kind(known, guess, truth)
    accepted = kind in ("synonym", "subclass")
    managed = guess is truth or guess.first_step == truth.first_step != ""
    return Relation(kind, accepted, _safety(known, guess, truth, accepted), managed)


_remembered = functools.lru_cache(maxsize=_REMEMBERED)(_relation)


def known_disease(name: str, known: Ontology | None = None) -> Disease | None:
    """The one disease or class that a reference names, None where the ontology knows none."""
    return read_name(name, known or ontology()).disease


def _by_name(reading: Reading, prediction: str, reference: str) -> Relation:
    """To a reference that no row knows: its own name, and nothing that names a disease."""
    plain = reading.unread is Unread.UNKNOWN and normalise(prediction) == normalise(reference)
    if plain or same_answer(prediction, reference):
        return Relation("exact", True, "none", True)
    return Relation("unrelated", False, "undetermined", False)


def _kind(known: Ontology, guess: Disease, truth: Disease) -> Kind:
    if guess is truth:
        return "synonym"
    is_a = truth.name in known.ancestors(guess) or guess.name in known.ancestors(truth)
    if is_a and guess.answerable:
        return "subclass"
    return "sibling" if set(guess.parents) & set(truth.parents) else "unrelated"


def _safety(known: Ontology, guess: Disease, truth: Disease, accepted: bool) -> Safety:
    """Against each kind of a broad reference; where they differ, nothing is said."""
    if accepted:
        return "none"
    if not guess.answerable:
        return "undetermined"
    verdicts = {critical(guess, kind) for kind in kinds(known, truth)}
    if len(verdicts) != 1:
        return "undetermined"
    return "critical" if verdicts.pop() else "none"


def kinds(known: Ontology, truth: Disease) -> tuple[Disease, ...]:
    """What a reference may be: itself, or the answerable kinds of a broad class."""
    return (truth,) if truth.answerable else known.kinds[truth.name]
