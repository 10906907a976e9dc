"""`predictions.jsonl`, version 1: an evaluated answer a line; docs/predictions.md is its schema."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from skinflow_jax.clinical.parsing import MOST_DIAGNOSES
from skinflow_jax.errors import InputError, printable, shortened
from skinflow_jax.json_file import unique_keys
from skinflow_jax.storage.paths import make_folder

VERSION = 1
TASKS = ("caption", "diagnosis", "question")
SAFETY = ("critical", "undetermined", "none")


@dataclass(frozen=True)
class Prediction:
    """One answer and its evaluation; what a task has not is None.

    Attributes:
      case_id: of the case.
      task: "caption", "diagnosis" or "question".
      text: the answer as written.
      reference: the true diagnosis, the row's answer, or the known caption as JSON.
      valid: whether the text has the form that was asked for.
      refusal: the code of what is wrong with it where not; see `clinical.limits`.
      group: the case's patient or lesion, which intervals go by.
      caption_reward: of captions with a known field.
      diagnosis_reward: linear, without a penalty.
      rank: of the first accepted diagnosis, from 1; None without one.
      first: the first diagnosis as written.
      safety: of the first diagnosis, one of `SAFETY`; "undetermined" where there is none.
      known: whether the ontology knows the reference; else only its own name is accepted.
      malignancy_missed, malignancy_missed_in_six, urgent_missed, over_triaged: see
        `clinical.outcomes`.
      equal: whether a question has the row's answer.
      skin_type: Fitzpatrick's, 1 to 6, where the data say it.
      partitions: what the reference is reported by: "ontology" and the data set's own.
      ontology: digest of the one that evaluated.
    """

    case_id: str
    task: str
    text: str
    reference: str
    valid: bool
    refusal: str | None = None
    group: str = ""
    caption_reward: float | None = None
    diagnosis_reward: float | None = None
    rank: int | None = None
    first: str | None = None
    safety: str | None = None
    known: bool | None = None
    malignancy_missed: bool | None = None
    malignancy_missed_in_six: bool | None = None
    urgent_missed: bool | None = None
    over_triaged: bool | None = None
    equal: bool | None = None
    skin_type: int | None = None
    partitions: Mapping[str, str] = field(default_factory=dict)
    ontology: str | None = None

    @property
    def safety_critical(self) -> bool:
        """Whether the first diagnosis is a safety-critical error."""
        return self.safety == "critical"


def write_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """One JSON object a line, ASCII: any reader splits the lines alike, any text comes back."""
    make_folder(path.parent)
    lines = (json.dumps({"version": VERSION, **asdict(p)}, allow_nan=False) for p in predictions)
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a file, of version 1 or of before there were versions.

    An earlier file says `safety_critical`, which is read as "critical" or "none", and nothing of
    refusals, outcomes, ontology and partitions. Raises InputError naming file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: give a predictions.jsonl") from error
    except ValueError as error:
        raise InputError(f"{path}: is no text in UTF-8: restore the file") from error
    lines = enumerate(text.split("\n"), start=1)
    return [_read(line, f"{path}, line {n}") for n, line in lines if line.strip()]


_NEEDED = ("case_id", "task", "text", "reference", "valid")
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("case_id", "task", "text", "reference", "group"), (str,)),
    **dict.fromkeys(("refusal", "first", "safety", "ontology"), (str, type(None))),
    **dict.fromkeys(("caption_reward", "diagnosis_reward"), (float, int, type(None))),
    **dict.fromkeys(("rank", "skin_type"), (int, type(None))),
    "valid": (bool,),
    "partitions": (dict,),
}


_RANGES = {
    **{"rank": (1, MOST_DIAGNOSES), "skin_type": (1, 6)},
    **dict.fromkeys(("caption_reward", "diagnosis_reward"), (0, 1)),
}


def _not_finite(name: str):
    raise ValueError(f"{name} is no number")


def _read(line: str, where: str) -> Prediction:
    try:
        found = json.loads(line, object_pairs_hook=unique_keys, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is no JSON object ({error}): restore the file") from error
    if not isinstance(found, dict):
        raise InputError(f"{where}: is no JSON object: restore the file")
    version = found.pop("version", None)
    if version is not None and (type(version) is not int or version != VERSION):
        raise InputError(
            f"{where}: version {shortened(repr(version), 40)} is not known here: "
            "read it by the program that wrote it, or a newer one"
        )
    if version is None:
        found = _of_before(found, where)
    known = {f.name for f in fields(Prediction)}
    lacking = [name for name in _NEEDED if name not in found]
    if lacking or not found.keys() <= known:
        wrong = ", ".join(lacking) or printable(", ".join(sorted(found.keys() - known)))
        raise InputError(f"{where}: {'lacks' if lacking else 'has the unknown key'} {wrong}")
    for name, value in found.items():
        _check(name, value, where)
    return Prediction(**found)


def _of_before(found: dict[str, Any], where: str) -> dict[str, Any]:
    critical = found.pop("safety_critical", None)
    if critical is not None and not isinstance(critical, bool):
        raise InputError(
            f"{where}: safety_critical is {shortened(repr(critical), 60)}: restore the file"
        )
    if found.get("task") == "diagnosis" and critical is not None:
        # What it could not tell apart then: no name, an unknown one.
        safe = "none" if found.get("first") else "undetermined"
        found["safety"] = "critical" if critical is True else safe
    return found


def _check(name: str, value: Any, where: str) -> None:
    types = _TYPES.get(name, (bool, type(None)))
    wrong = not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    wrong = wrong or (types and isinstance(value, int | float) and not low <= value <= high)
    if name == "partitions" and not wrong:
        wrong = not all(isinstance(part, str) for part in value.values())
    choices = {"task": TASKS, "safety": (*SAFETY, None)}.get(name)
    if wrong or (choices is not None and value not in choices):
        raise InputError(f"{where}: {name} is {shortened(repr(value), 60)}: restore the file")
