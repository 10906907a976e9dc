"""The diseases that are known, as a dermatologist orders them: the ontology in use, and its lookup.

A process uses one ontology, ours unless `use` says otherwise: the labels that a build writes, the
captions that name no disease, the rewards and the evaluation must all go by the same.
"""

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from skinflow_jax.clinical.ontology_checks import checked
from skinflow_jax.clinical.ontology_disease import Disease
from skinflow_jax.clinical.ontology_file import Row, parse_rows, read_rows
from skinflow_jax.errors import InputError

OURS = Path(__file__).with_name("ontology.csv")
ADDS = "+"
"""In front of a file's name: its rows are added to ours."""


@dataclass(frozen=True, eq=False)
class Ontology:
    """Diseases by canonical name, in the order of their files."""

    diseases: Mapping[str, Disease]
    _above: Mapping[str, frozenset[str]]

    def ancestors(self, disease: Disease) -> frozenset[str]:
        """Names of everything that `disease` is a kind of, itself excluded."""
        return self._above[disease.name]

    @functools.cached_property
    def kinds(self) -> Mapping[str, tuple[Disease, ...]]:
        """Of each class that is not answerable, the answerable diseases below it."""
        found: dict[str, list[Disease]] = {
            d.name: [] for d in self.diseases.values() if not d.answerable
        }
        for disease in self.diseases.values():
            if disease.answerable:
                for name in self._above[disease.name] & found.keys():
                    found[name].append(disease)
        return {name: tuple(below) for name, below in found.items()}

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of all that the rows say but their source and review, whatever their order."""
        stated = sorted(astuple(disease)[:-2] for disease in self.diseases.values())
        return hashlib.sha256(json.dumps(stated).encode()).hexdigest()


def load_ontology(name: str | Path = "") -> Ontology:
    """Ours where `name` is empty, else the CSV file of that name; "+FILE" adds its rows to ours.

    Raises InputError in one line that names file, row and remedy.
    """
    name = str(name)
    if not name:
        return _ours()
    if name == ADDS:
        raise InputError(f"ontology {ADDS}: name the CSV file whose rows are added, as {ADDS}FILE")
    adds = name.startswith(ADDS)
    rows = read_rows(Path(name.removeprefix(ADDS)).expanduser())
    return _ontology([*read_rows(OURS), *rows] if adds else rows)


def parse_ontology(text: str, name: str) -> Ontology:
    """The ontology of the text of such a file; `name` says where it is. Raises alike."""
    return _ontology(parse_rows(text, name))


def _ontology(rows: Sequence[Row]) -> Ontology:
    return Ontology({row.disease.name: row.disease for row in rows}, checked(rows))


@functools.cache
def _ours() -> Ontology:
    return _ontology(read_rows(OURS))


_in_use: Ontology | None = None


def ontology() -> Ontology:
    """The one in use."""
    return _in_use or _ours()


def use(new: Ontology) -> None:
    """Make `new` the one in use, for the whole process."""
    global _in_use
    _in_use = new


@contextmanager
def using(new: Ontology) -> Iterator[None]:
    """`use` for the time of a with block."""
    before = ontology()
    use(new)
    try:
        yield
    finally:
        use(before)
