"""Captions and their provenance as JSON lines, and the file of those that a person has to revise.

A line of `captions.jsonl`: `case_id`, `caption` (the fields), `model`, `reader`, `prompt_version`,
`schema` (its digest), `attempts`, `accepted` ("model" or "person"), `diagnosis`. A line of
`review.jsonl`: `case_id`, `diagnosis`, `caption` (the last valid one), `reason`, `attempts`, and
`accept`, which a person sets to true once the caption is right.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.data.captioning.attempts import Outcome, names_diagnosis
from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.json_file import json_line, unique_keys
from skinflow_jax.storage.paths import write_whole
from skinflow_jax.typed_fields import OneOf, Text, from_dict

CAPTIONS = "captions.jsonl"
REVIEW = "review.jsonl"
REVIEWED = "reviewed.jsonl"
_NAME = Annotated[str, Text()]


@dataclass(frozen=True)
class Caption:
    """A caption of a case and where it comes from.

    `caption` maps fields to a value or a list; `accepted` is "model" where the diagnosis was
    recovered from it, "person" where someone revised it; `schema` is the digest of its schema;
    `diagnosis` is the case's, "" in files of earlier versions.
    """

    case_id: _NAME
    caption: dict[str, Any]
    model: str
    reader: str
    prompt_version: int
    schema: str
    attempts: int
    accepted: Annotated[str, OneOf(("model", "person"))]
    diagnosis: str = ""


@dataclass(frozen=True)
class Reviewed:
    """A line of the review file."""

    case_id: _NAME
    diagnosis: _NAME
    caption: dict[str, Any]
    reason: str = ""
    attempts: int = 0
    accept: bool = False


def read_captions(path: str | Path, schema: Schema = CLINICAL) -> dict[str, Caption]:
    """The captions of a file by case id.

    Raises InputError naming file, line and field: damaged, another schema's, a case twice.
    """
    found: dict[str, Caption] = {}
    for where, caption in _rows(Path(path), Caption):
        if caption.schema != schema.digest:
            raise InputError(
                f"{where}: this caption is of another schema, in which the same words may mean "
                "something else; give its schema as data.caption_schema, or caption the cases again"
            )
        fields = _checked(where, caption.caption, schema)
        caption = dataclasses.replace(caption, caption=plain(fields, schema))
        if caption.case_id in found:
            raise InputError(f"{where}: case {caption.case_id} is there twice; leave one")
        found[caption.case_id] = caption
    return found


def case_ids(path: Path) -> set[str]:
    """The cases of a file of captions, of whichever schema; none where there is no file."""
    return {row.case_id for _, row in _rows(path, Caption)} if path.is_file() else set()


def read_review(path: str | Path, schema: Schema) -> dict[str, Reviewed]:
    """The lines of a review file that a person accepted, by case id.

    Raises like `read_captions`.
    """
    found: dict[str, Reviewed] = {}
    for where, row in _rows(Path(path), Reviewed):
        if not row.accept:
            continue
        fields = _checked(where, row.caption, schema)
        if fault := names_diagnosis(fields, row.diagnosis):
            raise InputError(f"{where}: {fault}, which a caption may not")
        row = dataclasses.replace(row, caption=plain(fields, schema))
        if row.case_id in found:
            raise InputError(f"{where}: case {row.case_id} is there twice; leave one")
        found[row.case_id] = row
    return found


def write_captions(path: Path, captions: Iterable[Caption]) -> None:
    """Write a file of captions, whole or not at all."""
    write_whole(path, _lines(vars(caption) for caption in captions))


def write_reviewed(path: Path, rows: Iterable[Reviewed]) -> None:
    """Keep what a person accepted, whole or not at all: the next start still knows it."""
    write_whole(path, _lines(vars(row) for row in rows))


def write_review(path: Path, outcomes: Iterable[Outcome], schema: Schema) -> None:
    """Write a file of cases for a person to revise, whole or not at all."""
    rows = (
        {
            "case_id": outcome.case_id,
            "diagnosis": outcome.diagnosis,
            "caption": plain(outcome.fields, schema),
            "reason": outcome.reason,
            "attempts": outcome.attempts,
            "accept": False,
        }
        for outcome in outcomes
    )
    write_whole(path, _lines(rows))


def plain(fields: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Fields as a model writes them: in schema order, one value as a string."""
    return json.loads(schema.to_json(fields))


def _checked(where: str, caption: Mapping[str, Any], schema: Schema) -> dict[str, list[str]]:
    try:
        fields = schema.canonical_fields(caption)
    except (InputError, TypeError) as error:
        raise InputError(f"{where}: {printable(str(error))}") from error
    if not fields:
        raise InputError(f"{where}: the caption is empty; fill it or remove the line")
    return fields


def _rows(path: Path, kind: type) -> Iterable[tuple[str, Any]]:
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a file of captions") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text; save it so") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            yield where, from_dict(kind, json.loads(line, object_pairs_hook=unique_keys))
        except ConfigError as error:
            problem = printable(str(error)).replace("config ", "", 1)
            raise InputError(f"{where}: {problem}") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: is no JSON object ({error}); mend it") from error
        except (TypeError, AttributeError) as error:
            raise InputError(f"{where}: has not all of a line's fields; mend it") from error


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json_line(row) + "\n" for row in rows)
