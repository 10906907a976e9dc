"""The ontology's CSV file to diseases: `ontology.csv` beside this one, or a user's of that form."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from skinflow_jax.clinical.name_text import MOST_CHARACTERS
from skinflow_jax.clinical.ontology_disease import TOLD, WORDS, Disease
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError, printable, shortened

COLUMNS = tuple(field.name for field in fields(Disease))
_LISTS = ("synonyms", "abbreviations", "parents")
_SIGNS = re.compile(r"[;|]|^[#=+@-]")
"""Of lists, of comments, and of a spreadsheet's formulas and errors."""


@dataclass(frozen=True)
class Row:
    """A disease and where it stands: "file, row N"."""

    disease: Disease
    place: str


def read_rows(path: Path) -> list[Row]:
    """The rows of the file at `path`.

    Raises InputError in one line that names file, row and column where it cannot be read, is no CSV
    with the header `COLUMNS`, or a cell holds what its column may not.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"ontology {path}: {error.strerror}; give a CSV file as clinical.ontology"
        ) from error
    except ValueError as error:
        raise InputError(f"ontology {path}: is no text in UTF-8: save it as UTF-8") from error
    return parse_rows(text, str(path))


def parse_rows(text: str, name: str) -> list[Row]:
    """The rows of the text of such a file; `name` says where it is, for messages. Raises alike."""
    rows = list(_cells(text, name))
    if not rows:
        raise InputError(f"ontology {name}: has no row below its header: add diseases")
    return [Row(_disease(cells, place), place) for place, cells in rows]


def _cells(text: str, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: tuple[str, ...] | None = None
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if header is None:
                header = _header(cells, name)
                continue
            place = f"{name}, row {reader.line_num}"
            if len(cells) != len(header):
                remedy = (
                    "quote a cell that holds a comma, and delete one that is too much"
                    if len(cells) > len(header)
                    else "write a comma for an empty cell too; there are no rows of comment"
                )
                raise InputError(
                    f"ontology {place}: {len(cells)} cells under {len(header)} columns: {remedy}"
                )
            yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"ontology {name}, row {reader.line_num}: {error}: correct it") from error


def _header(cells: list[str], name: str) -> tuple[str, ...]:
    if sorted(cells) == sorted(COLUMNS):
        return tuple(cells)
    lacking = [column for column in COLUMNS if column not in cells]
    other = [cell or "one without a name" for cell in cells if cell not in COLUMNS]
    twice = [f"{column} twice" for column in COLUMNS if cells.count(column) > 1]
    found = f"lacks {', '.join(lacking)}"
    if other or twice:
        some = lacking and len(lacking) < len(COLUMNS)
        listed = shortened(printable(", ".join([*other, *twice])), 100)
        found = f"has {listed}" + (f" and {found}" if some else "")
    if len(cells) == 1 and ";" in cells[0]:
        found = "separates its cells by semicolons"
    if len(cells) == 1 and "\t" in cells[0]:
        found = "separates its cells by tabs"
    raise InputError(
        f"ontology {name}: the header {found}: "
        f"its columns, separated by commas, are {', '.join(COLUMNS)}"
    )


def _disease(cells: dict[str, str], place: str) -> Disease:
    values: dict = {column: cells[column] for column in COLUMNS}
    for column in _LISTS:
        values[column] = _entries(cells[column])
    for column in ("name", "synonyms", "abbreviations"):
        for name in (cells["name"],) if column == "name" else values[column]:
            _check_name(name, column, place)
    answers = {"yes": True, "no": False}
    _check_word(cells["answerable"], "answerable", tuple(answers), place)
    disease = Disease(**values | {"answerable": answers[cells["answerable"]]})
    if cells["partition"]:
        _check_name(cells["partition"], "partition", place)
    for column in TOLD:
        if disease.answerable and not cells[column]:
            raise InputError(
                f"ontology {place}: {disease.name!r} is answerable and its {column} is empty: "
                "fill it, or set answerable to no"
            )
        if cells[column] and column in WORDS:
            _check_word(cells[column], column, WORDS[column], place)
    return disease


def _entries(cell: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in cell.split(";") if entry.strip())


def _check_word(word: str, column: str, words: tuple[str, ...], place: str) -> None:
    if word not in words:
        raise InputError(
            f"ontology {place}: {column} is {shortened(word, 60)!r}: use one of {', '.join(words)}"
        )


def _check_name(name: str, column: str, place: str) -> None:
    spaced = " ".join(name.split()) == name and name.isprintable()
    if not spaced or not normalise(name) or len(name) > MOST_CHARACTERS or _SIGNS.search(name):
        raise InputError(
            f"ontology {place}: {column} holds {shortened(name, 60)!r}: a name has letters, at "
            f"most {MOST_CHARACTERS} characters, single spaces, no line break or other sign that "
            "is not seen, no ; or |, and begins with none of # = + - @"
        )
