"""What an ontology must hold as a whole; a file that does not is refused by row and remedy."""

from collections.abc import Mapping, Sequence

from skinflow_jax.clinical.name_text import words_of
from skinflow_jax.clinical.ontology_disease import SHARED, Disease
from skinflow_jax.clinical.ontology_file import Row
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError


def checked(rows: Sequence[Row]) -> dict[str, frozenset[str]]:
    """Of each disease the names of all that it is a kind of, itself excluded.

    Raises InputError where a name stands twice, a parent is missing, is-a runs in a circle, or a
    disease differs in one of `SHARED` from what it is a kind of.
    """
    _check_names(rows)
    by_name = {row.disease.name: row for row in rows}
    above = _closure(by_name)
    for row in rows:
        for upper in sorted(above[row.disease.name]):
            _check_kind(row, by_name[upper].disease)
    return above


def _check_names(rows: Sequence[Row]) -> None:
    """No name or synonym is another row's, nor an abbreviation another row's name."""
    owners: dict[str, Row] = {}
    for row in rows:
        for name in (row.disease.name, *row.disease.synonyms, *row.disease.abbreviations):
            if not words_of(name):
                raise InputError(
                    f"ontology {row.place}: {name!r} cannot be read: a name has Latin letters or "
                    "digits"
                )
        for name in (row.disease.name, *row.disease.synonyms):
            # As captions are searched for it, and as diagnoses are read.
            spellings = (normalise(name), " ".join(words_of(name)))
            other = next((o for s in spellings if (o := owners.setdefault(s, row)) is not row), row)
            if other is not row:
                raise InputError(
                    f"ontology {row.place}: {name!r} is a name of {other.disease.name!r} too "
                    f"({other.place}): leave it to one of them"
                )
    order = {id(row): number for number, row in enumerate(rows)}
    for row in rows:
        for short in row.disease.abbreviations:
            other = owners.get(normalise(short), row)
            if other is not row:
                # The later row is the user's, where a file adds to ours.
                first, last = sorted((row, other), key=lambda each: order[id(each)])
                raise InputError(
                    f"ontology {last.place}: {short!r} is a name of {other.disease.name!r} and an "
                    f"abbreviation of {row.disease.name!r} ({first.place}): make it an "
                    "abbreviation of both"
                )


def _closure(by_name: Mapping[str, Row]) -> dict[str, frozenset[str]]:
    above: dict[str, frozenset[str]] = {}
    for start in by_name:
        # Depth first with a stack of its own: a file's is-a may be deeper than Python's recursion.
        path = [start]
        while path:
            row = by_name[path[-1]]
            todo = [parent for parent in row.disease.parents if parent not in above]
            if not todo:
                parents = row.disease.parents
                above[path.pop()] = frozenset(parents).union(*(above[p] for p in parents))
                continue
            if todo[0] not in by_name:
                raise InputError(
                    f"ontology {row.place}: the parent {todo[0]!r} of {row.disease.name!r} is no "
                    "row's name: add it or correct the spelling"
                )
            if todo[0] in path:
                circle = " < ".join([*path[path.index(todo[0]) :], todo[0]])
                raise InputError(f"ontology {row.place}: is-a in a circle: {circle}: cut it")
            path.append(todo[0])
    return above


def _check_kind(row: Row, upper: Disease) -> None:
    for column in SHARED:
        own, shared = getattr(row.disease, column), getattr(upper, column)
        if own and shared and own != shared:
            remedy = (
                "put both below a class that is not answerable"
                if upper.answerable
                else f"leave {column} of the class empty, as it varies"
            )
            raise InputError(
                f"ontology {row.place}: {row.disease.name!r} has {column} {own!r} and is a kind of "
                f"{upper.name!r}, which has {shared!r}: correct one of them, or {remedy}"
            )
