"""What an ontology must hold as a whole; a file that does not is refused by row and remedy."""

from collections.abc import Mapping, Sequence

from skinflow_jax.clinical.ontology_disease import SHARED, TOLD, Disease
from skinflow_jax.clinical.ontology_file import Row
from skinflow_jax.clinical.ontology_names import check_names
from skinflow_jax.errors import InputError


def checked(rows: Sequence[Row]) -> dict[str, frozenset[str]]:
    """Of each disease the names of all that it is a kind of, itself excluded.

    Raises InputError where a name stands twice, a parent is missing or above another of them, is-a
    runs in a circle, a disease differs in one of `SHARED` from what it is a kind of, a class is
    said to be what none of its kinds is, or nothing is answerable.
    """
    check_names(rows)
    by_name = {row.disease.name: row for row in rows}
    above = _closure(by_name)
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        _check_parents(row, above)
        for upper in sorted(above[row.disease.name]):
            _check_kind(row, by_name[upper].disease)
            if row.disease.answerable and not by_name[upper].disease.answerable:
                kinds.setdefault(upper, []).append(row)
    for name, below in kinds.items():
        _check_class(by_name[name], below)
    if not any(row.disease.answerable for row in rows):
        file = rows[0].place.rpartition(", row ")[0]
        raise InputError(
            f"ontology {file}: no row is answerable: set answerable of diseases to yes"
        )
    return above


def _check_parents(row: Row, above: Mapping[str, frozenset[str]]) -> None:
    """None is above another: siblings share a direct parent, which must not be a far one too."""
    for parent in row.disease.parents:
        near = next((other for other in row.disease.parents if parent in above[other]), None)
        if near is not None:
            raise InputError(
                f"ontology {row.place}: {row.disease.name!r} has the parents {parent!r} and "
                f"{near!r}, which is a kind of it: leave out {parent!r}"
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


def _check_class(upper: Row, kinds: Sequence[Row]) -> None:
    """What is said of a class must be so of one of its kinds at least."""
    for column in TOLD:
        said, found = getattr(upper.disease, column), {getattr(k.disease, column) for k in kinds}
        if said and said not in found:
            raise InputError(
                f"ontology {kinds[-1].place}: {kinds[-1].disease.name!r} is a kind of "
                f"{upper.disease.name!r} ({upper.place}), whose {column} {said!r} none of its "
                f"kinds has ({', '.join(sorted(found))}): correct it, or leave that of the class "
                "empty"
            )
