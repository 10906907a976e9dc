"""Files of answers and of references, of this program and of others, and their join by case id.

Rows are those of JSON Lines, a JSON array, CSV or TSV; which columns are read: docs/evaluation.md.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinflow_jax.clinical.wording import normalise
from skinflow_jax.data.sources.row_files import JsonArray, JsonLines
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.errors import InputError, printable, shortened
from skinflow_jax.evaluation.answers import Asked, Likelihood
from skinflow_jax.evaluation.predictions import read_predictions

IDS = ("case_id", "index", "doc_id", "id")
TEXTS = ("text", "prediction", "filtered_resps", "resps")
DIAGNOSES = ("diagnosis", "reference", "answer", "target", "label")
SKIN_TYPES = ("skin_type", "fitzpatrick")
_SHOWN = 5


@dataclass(frozen=True)
class Answer:
    """What a system said of a case; `where` names file and row."""

    case_id: str
    text: str
    where: str
    likelihood: Likelihood | None = None


Row = tuple[str, dict[str, Any]]
"""Where it stands, and what it holds."""


def read_answers(path: Path) -> tuple[list[Answer], list[str]]:
    """The answers of a file, and lines about what was left out of it.

    Raises InputError naming file, row and remedy.
    """
    rows, remarks = _rows(path)
    if _is_ours(rows):
        found = read_predictions(path)
        kept = [p for p in found if p.task == "diagnosis"]
        answers = [Answer(p.case_id, p.text, str(path), _likelihood_of(p)) for p in kept]
        return answers, _left_out(path, len(found) - len(kept))
    name, text = _column(path, rows, IDS, "case id"), _column(path, rows, TEXTS, "answer")
    return [
        Answer(_id(row, name, where), _text(row, text, where), where, _told(row, where))
        for where, row in rows
    ], remarks


def read_references(path: Path) -> tuple[list[Asked], list[str]]:
    """What the cases are, with what is known of them, and lines about what was left out.

    Raises InputError naming file, row and remedy.
    """
    rows, remarks = _rows(path)
    if _is_ours(rows):
        found = read_predictions(path)
        kept = [p for p in found if p.task == "diagnosis"]
        asked = [
            Asked(
                *(p.case_id, "diagnosis", p.reference, p.group),
                {"fitzpatrick": p.skin_type, "quality": p.quality, "source": p.source}
                | {"licence": p.licence}
                | {k: v for k, v in p.partitions.items() if k != "ontology"},
                p.references,
            )
            for p in kept
        ]
        return asked, _left_out(path, len(found) - len(kept))
    name = _column(path, rows, IDS, "case id")
    label = _column(path, rows, DIAGNOSES, "reference")
    return [_asked(row, name, label, where) for where, row in rows], remarks


def joined(
    answers: Sequence[Answer], references: Sequence[Asked], *, missing_are_invalid: bool
) -> tuple[list[tuple[Answer, Asked]], int]:
    """Each reference with its answer, in the order of the references, and how many had none.

    Raises InputError with the number and the first names of ids that are there twice, of answers
    without a reference, and, unless `missing_are_invalid`, of references without an answer: then
    they have the empty one.
    """
    _unique("answers", (a.case_id for a in answers))
    _unique("references", (r.case_id for r in references))
    given, known = {a.case_id: a for a in answers}, {r.case_id for r in references}
    _none([name for name in given if name not in known], "answers have no reference", "add them")
    lacking = [name for name in known if name not in given]
    if not missing_are_invalid:
        remedy = "answer them, or count them as invalid answers by --missing=invalid"
        ordered = [r.case_id for r in references if r.case_id not in given]
        _none(ordered, "references have no answer", remedy)
    pairs = [(given.get(r.case_id) or Answer(r.case_id, "", "missing"), r) for r in references]
    return pairs, len(lacking)


def _unique(what: str, names: Iterable[str]) -> None:
    repeated = [name for name, n in Counter(names).items() if n > 1]
    _none(repeated, f"ids are those of several {what}", "give one a case")


def _none(names: Sequence[str], what: str, remedy: str) -> None:
    if names:
        first = ", ".join(shortened(printable(name), 60) for name in names[:_SHOWN])
        more = ", …" if len(names) > _SHOWN else ""
        raise InputError(f"{len(names):,} {what}: {first}{more}: {remedy}")


def _rows(path: Path) -> tuple[list[Row], list[str]]:
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        table = read_table(path, (), remedy="give a file of rows", free_text=_header(path))
        for row in table.rows:
            row.check()
        names = [name for name in table.header if name]
        cells = ({name: row.raw(name) for name in names} for row in table.rows)
        rows = zip((f"{path} row {row.line}" for row in table.rows), cells, strict=True)
        return list(rows), list(table.remarks)
    if kind not in (".jsonl", ".json"):
        raise InputError(f"{path}: no file of rows; it must end in .jsonl, .json, .csv or .tsv")
    try:
        file = JsonLines(path) if kind == ".jsonl" else JsonArray(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: give a file of rows") from error
    if not len(file):
        raise InputError(f"{path}: has no rows; give a file that has")
    return [(file.where(n), file.row(n)) for n in range(len(file))], []


def _header(path: Path) -> Sequence[str]:
    """All columns may hold line breaks."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            line = file.readline(1 << 16)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: give a file of rows") from error
    return [name.strip().strip('"') for d in ",;\t" for name in line.split(d)]


def _is_ours(rows: Sequence[Row]) -> bool:
    return {"version", "case_id", "task", "reference"} <= rows[0][1].keys()


def _left_out(path: Path, count: int) -> list[str]:
    return [f"{path}: {count:,} rows of other tasks are left out"] if count else []


def _column(path: Path, rows: Sequence[Row], names: Sequence[str], what: str) -> str:
    """The first of `names` that the file has."""
    for name in names:
        if name in rows[0][1]:
            return name
    raise InputError(f"{path}: has no {what}: name its column {' or '.join(names)}")


def _id(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise _wrong(where, name, value, "give the id of the case, text or a whole number")
    return str(value)


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    while name in ("filtered_resps", "resps") and isinstance(value, list):
        if len(value) != 1:
            raise _wrong(where, name, value, f"it holds {len(value)} answers, and one is evaluated")
        (value,) = value
    if isinstance(value, list | dict):
        return json.dumps(value)
    if not isinstance(value, str):
        raise _wrong(where, name, value, 'give the answer as text, "" where there is none')
    return value


def _asked(row: dict[str, Any], name: str, label: str, where: str) -> Asked:
    weights = _weights(row.get(label), label, where)
    heaviest = max(weights, key=weights.__getitem__)
    return Asked(
        *(_id(row, name, where), "diagnosis", heaviest, _fact(row, "group", where)),
        _facts(row, where),
        weights if len(weights) > 1 else {},
    )


def _weights(value: Any, name: str, where: str) -> dict[str, float]:
    """One diagnosis, a list of equal ones, or an object of weights."""
    stated = {value: 1.0} if isinstance(value, str) else value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        stated = dict.fromkeys(value, 1.0)
    right = isinstance(stated, dict) and stated and all(map(normalise, stated))
    numbers = list(stated.values()) if right else []
    if not right or not all(type(n) in (int, float) and 0 < n < math.inf for n in numbers):
        raise _wrong(where, name, value, "give a diagnosis, a list, or an object of weights")
    return {each: weight / math.fsum(numbers) for each, weight in stated.items()}


def _facts(row: dict[str, Any], where: str) -> dict[str, Any]:
    facts = {name: _fact(row, name, where) for name in ("quality", "source", "licence")}
    parts = row.get("partitions")
    for name, value in {**row, **(parts if isinstance(parts, dict) else {})}.items():
        if name.endswith("partition") and value not in (None, ""):
            facts[name] = _fact({name: value}, name, where)
    for name in SKIN_TYPES:
        if row.get(name) not in (None, ""):
            value = row[name]
            number = int(value) if isinstance(value, str) and value.isdecimal() else value
            if isinstance(number, bool) or number not in range(1, 7):
                raise _wrong(where, name, value, "give a whole number from 1 to 6, or nothing")
            facts["fitzpatrick"] = number
    return facts


def _fact(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise _wrong(where, name, value, "give text or nothing")
    return "" if value is None else str(value)


def _told(row: dict[str, Any], where: str) -> Likelihood | None:
    """What the row says of how sure the system was."""
    found = {name: _number(row, name, where) for name in ("log_prob", "tokens", "confidence")}
    total, tokens, sure = found.values()
    if (
        (total is None) != (tokens is None)
        or (total or 0) > 0
        or tokens not in (None, int(tokens or 0))
    ):
        raise _wrong(where, "log_prob", total, "it is at most 0, and stands with whole tokens")
    if sure is not None and not 0 <= sure <= 1:
        raise _wrong(where, "confidence", sure, "give a probability")
    if total is None and sure is None:
        return None
    return Likelihood(total, None if tokens is None else int(tokens), sure)


def _number(row: dict[str, Any], name: str, where: str) -> float | None:
    value = row.get(name)
    if value in (None, ""):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(where, name, value, "give a number or nothing")
    return number


def _likelihood_of(prediction) -> Likelihood | None:
    told = prediction.log_prob, prediction.tokens, prediction.confidence
    return None if told == (None, None, None) else Likelihood(*told)


def _wrong(where: str, name: str, value: Any, remedy: str) -> InputError:
    shown = shortened(printable(repr(value)), 60)
    return InputError(f"{where}: {name} is {shown}: {remedy}")
