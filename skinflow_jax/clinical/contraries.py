"""Whether two readings that name akin diseases say contrary things of it: acute, chronic."""

import functools
from collections.abc import Iterable, Mapping

from skinflow_jax.clinical.name_text import words_of
from skinflow_jax.clinical.names import Reading
from skinflow_jax.clinical.ontology_disease import Disease
from skinflow_jax.clinical.qualifiers import qualifiers

Said = Mapping[str, frozenset[int]]


def contrary(guess: Reading, disease: Disease, reference: Reading, truth: Disease) -> bool:
    """Whether one of them adds to its disease what the other, or its disease's names, deny.

    "chronic urticaria" is read as urticaria; it is neither "acute urticaria" as that is read, nor a
    row of that name. What belongs to the name itself is the ontology's to relate.
    """
    one, other = _said(guess.words), _said(reference.words)
    if not one and not other:
        return False
    return _denied(one, disease, other, truth) or _denied(other, truth, one, disease)


def _denied(said: Said, disease: Disease, by: Said, other: Disease) -> bool:
    own, name = _of_names(disease), _of_name(other)
    for kind, words in said.items():
        against = by.get(kind) or name.get(kind)
        if against and words - own.get(kind, frozenset()) and not words & against:
            return True
    return False


def _said(words: Iterable[str]) -> Said:
    table = qualifiers().contrary
    said: dict[str, frozenset[int]] = {}
    before = ""
    for word in words:
        if word in table and before != "non":
            kind, number = table[word]
            said[kind] = said.get(kind, frozenset()) | {number}
        before = word
    return said


@functools.lru_cache(maxsize=8192)
def _of_names(disease: Disease) -> Said:
    """A name that says both, as "acute and chronic dermatitis", says neither."""
    found: dict[str, frozenset[int]] = {}
    for name in (disease.name, *disease.synonyms):
        for kind, words in _said(words_of(name)).items():
            if len(words) == 1:
                found[kind] = found.get(kind, frozenset()) | words
    return found


@functools.lru_cache(maxsize=8192)
def _of_name(disease: Disease) -> Said:
    """By its own name; a synonym tells the course alone: "solitary neurofibroma" is one of many."""
    course = {kind: said for kind, said in _of_names(disease).items() if kind == "course"}
    return {**course, **_said(words_of(disease.name))}
