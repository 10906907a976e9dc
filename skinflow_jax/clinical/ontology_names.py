"""That each name of an ontology is read as its row's, and as no other's."""

from collections.abc import Hashable, Mapping, Sequence

from skinflow_jax.clinical.name_keys import keys_of
from skinflow_jax.clinical.name_text import has_other_letters, words_of
from skinflow_jax.clinical.ontology_file import Row
from skinflow_jax.clinical.qualifiers import qualifiers
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError

_Owners = Mapping[Hashable, tuple[int, str]]
"""By key the number of the row whose name it is, and how that is written."""


def check_names(rows: Sequence[Row]) -> None:
    """Raise InputError where a name cannot be read, is read as another row's, or never is."""
    owners: dict[Hashable, tuple[int, str]] = {}
    for number, row in enumerate(rows):
        for name in (row.disease.name, *row.disease.synonyms):
            # As captions are searched for it, and as diagnoses are read.
            for key in (normalise(name), *keys_of(_words(name, row))):
                other, written = owners.setdefault(key, (number, name))
                if other != number and key is not None:
                    first = rows[other]
                    alike = "" if written == name else f": {written!r} is read alike"
                    raise InputError(
                        f"ontology {row.place}: {name!r} is a name of {first.disease.name!r} too "
                        f"({first.place}{alike}): leave it to one of them"
                    )
    for number, row in enumerate(rows):
        for short in row.disease.abbreviations:
            _check_short(short, number, rows, owners)


def _words(name: str, row: Row) -> tuple[str, ...]:
    words = words_of(name)
    if not words or has_other_letters(name):
        raise InputError(
            f"ontology {row.place}: {name!r} cannot be read: write it in Latin letters"
        )
    return words


def _check_short(short: str, number: int, rows: Sequence[Row], owners: _Owners) -> None:
    words = _words(short, rows[number])
    if qualifiers().known(words[0]):
        raise InputError(
            f"ontology {rows[number].place}: the abbreviation {short!r} would not be read, as "
            f"{words[0]!r} only describes: leave it out, or make it a synonym"
        )
    keys = keys_of(words)
    for key in (normalise(short), keys.in_order, keys.joined):
        other = owners.get(key, (number, ""))[0]
        if other != number:
            # The later row is the user's, where a file adds to ours.
            first, last = sorted((number, other))
            raise InputError(
                f"ontology {rows[last].place}: {short!r} is a name of {rows[other].disease.name!r} "
                f"and an abbreviation of {rows[number].disease.name!r} ({rows[first].place}): make "
                "it an abbreviation of both"
            )
