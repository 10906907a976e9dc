"""Diseases as a dermatologist orders them: synonyms, is-a, malignancy, infection, management.

The tables live in ontology_terms and ontology_diseases; this module builds the index, refuses an
inconsistent table on import, and looks names up.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from skinflow_jax.clinical.ontology_diseases import DISEASES
from skinflow_jax.clinical.ontology_terms import BROAD_CLASSES, SPECIFIC_CLASSES, Profile
from skinflow_jax.clinical.wording import normalise

SIGNS = frozenset({"telangiectasia", "skin cyst", "striae"})
"""Entries that are also words of plain description."""


@dataclass(frozen=True)
class Disease:
    """A disease or a class of diseases.

    `parents` are canonical names; `malignancy` is benign, premalignant, malignant, or mixed in a
    class; `infection` is None in a class that mixes; infestations count as infections, virus-driven
    tumours do not (our choice). `specific` is False for classes too broad to be an answer.
    """

    name: str
    synonyms: tuple[str, ...]
    parents: tuple[str, ...]
    malignancy: str
    infection: bool | None
    management: str
    urgency: str
    specific: bool


def find(name: str) -> Disease | None:
    """The disease that `name` names, whatever its case, accents, punctuation, plural or spelling.

    The whole text must be one name; "name (abbreviation)" counts when both name the same disease.
    """
    known = _INDEX.get(normalise(name))
    if known is not None:
        return known
    pair = re.fullmatch(r"\s*([^()]+)\(([^()]+)\)[\s.]*", name)
    if pair is None:
        return None
    outside, inside = (_INDEX.get(normalise(part)) for part in pair.groups())
    return outside if outside is inside else None


def ancestors(disease: Disease) -> frozenset[str]:
    """Canonical names of everything that `disease` is a kind of, itself excluded."""
    return _ANCESTORS[disease.name]


def mentions_disease(text: str) -> str | None:
    """The first disease that `text` names in whole words, None when there is none.

    Broad classes and `SIGNS` do not count: they describe without giving the diagnosis away.
    """
    words = normalise(text).split()
    for start in range(len(words)):
        for end in range(start + 1, min(start + _LONGEST, len(words)) + 1):
            found = _INDEX.get(" ".join(words[start:end]))
            if found is not None and found.specific and found.name not in SIGNS:
                return found.name
    return None


def _rows(table: str, profile: Profile, specific: bool) -> Iterator[Disease]:
    for line in re.sub(r"\n +", " ", table).strip().splitlines():
        name, synonyms, parents = (column.strip() for column in line.split("|"))
        yield Disease(name, _entries(synonyms), _entries(parents), *profile, specific)


def _entries(column: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in column.split(";") if entry.strip())


def _load() -> dict[str, Disease]:
    mixed = Profile("mixed", None, "mixed", "mixed")
    tables = [(BROAD_CLASSES, mixed, False)]
    tables += [(table, profile, True) for profile, table in SPECIFIC_CLASSES + DISEASES]
    diseases: dict[str, Disease] = {}
    for table in tables:
        for disease in _rows(*table):
            if disease.name in diseases:
                raise ValueError(f"ontology: {disease.name!r} is defined twice")
            diseases[disease.name] = disease
    return diseases


def _index(diseases: dict[str, Disease]) -> dict[str, Disease]:
    index: dict[str, Disease] = {}
    for disease in diseases.values():
        for name in (disease.name, *disease.synonyms):
            other = index.setdefault(normalise(name), disease)
            if other is not disease:
                raise ValueError(f"ontology: {name!r} names {other.name!r} and {disease.name!r}")
    return index


def _close(diseases: dict[str, Disease]) -> dict[str, frozenset[str]]:
    """Transitive closure of is-a; raises ValueError on a missing parent or a cycle."""
    closed: dict[str, frozenset[str]] = {}

    def climb(name: str, path: tuple[str, ...]) -> frozenset[str]:
        if name in path or name not in diseases:
            raise ValueError(f"ontology: missing parent or cycle at {' < '.join((*path, name))}")
        if name not in closed:
            parents = diseases[name].parents
            above = [climb(parent, (*path, name)) for parent in parents]
            closed[name] = frozenset(parents).union(*above)
        return closed[name]

    for name in diseases:
        climb(name, ())
    return closed


ONTOLOGY: dict[str, Disease] = _load()
"""All diseases and classes by canonical name."""

_INDEX = _index(ONTOLOGY)
_ANCESTORS = _close(ONTOLOGY)
_LONGEST = max(len(name.split()) for name in _INDEX)
