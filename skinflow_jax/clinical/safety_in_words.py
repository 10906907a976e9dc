"""Why a diagnosis is unsafe, in a sentence by the rules of `safety`, for people who check it."""

from skinflow_jax.clinical.names import find, read_name
from skinflow_jax.clinical.ontology import ontology
from skinflow_jax.clinical.relations import kinds, relation
from skinflow_jax.clinical.safety import MALIGNANT, urgent, why_critical
from skinflow_jax.errors import printable, shortened

_MOST = 80
"""Characters of a name that are repeated in a sentence."""


def why_unsafe(prediction: str, reference: str) -> str:
    """Why `prediction` (first of the list, "" for none) is critical or undetermined; "" if neither.

    Names are as written; never raises on any `prediction`. Raises InputError where the reference
    is empty.
    """
    safety = relation(prediction, reference).safety
    if safety == "none":
        return ""
    known = ontology()
    truth = find(reference, known)
    reading = read_name(prediction, known)
    named = _quoted(prediction)
    if not prediction.strip():
        return "No diagnosis was given."
    if truth is None:
        return f"The ontology does not know the true diagnosis {_quoted(reference)}."
    guess = reading.fitting(truth)
    if guess is None and reading.diseases:
        return f"{named} may mean several diseases."
    if guess is None:
        return f"The ontology reads no disease in {named}."
    if safety == "critical":
        return _sentence(why_critical(guess, kinds(known, truth)[0]))
    if not guess.answerable:
        return f"{named} is too broad a class to act on."
    return f"{_quoted(reference)} is a class, and {named} is critical for some of its kinds."


def why_missed(reference: str) -> dict[str, str]:
    """What is at stake where `reference` is missed, by the field of `Relation` that says so."""
    truth, known = find(reference), ontology()
    possible = kinds(known, truth) if truth else ()
    found = {}
    if possible and all(kind.nature in MALIGNANT for kind in possible):
        natures = " or ".join(dict.fromkeys(kind.nature for kind in possible))
        found["malignancy_missed"] = _sentence(
            f"{truth.name} is {natures}; the first diagnosis is no cancer"
        )
    if possible and all(map(urgent, possible)):
        within = "hours" if possible[0].urgency == "emergency" else "days"
        found["urgent_missed"] = _sentence(
            f"{truth.name} must be seen within {within}; by the first diagnosis it could wait"
        )
    return found


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}."


def _quoted(name: str) -> str:
    return f"“{printable(shortened(name, _MOST))}”"
