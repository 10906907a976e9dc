"""`predictions.jsonl`, version 1: an evaluated answer a line; docs/predictions.md is its schema."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from skinflow_jax.errors import InputError, printable, shortened
from skinflow_jax.evaluation.prediction_rules import check_values, contradiction
from skinflow_jax.json_file import unique_keys
from skinflow_jax.storage.paths import make_folder

VERSION = 1


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
      graded_score: the same with half the credit for harmless siblings.
      rank: of the first accepted diagnosis, from 1; None without one.
      rank_strict: of the first that names the reference itself, by its name or a synonym.
      rank_any: of the first that is accepted for one of `references`, where there are several.
      first: the first diagnosis as written.
      safety: of the first diagnosis, one of `SAFETY`; "undetermined" where there is none.
      management_consistent: whether the first diagnosis has the reference's first step.
      known: whether the ontology knows the reference; else only its own name is accepted.
      malignancy_missed, malignancy_missed_in_six, urgent_missed, over_triaged: see
        `clinical.outcomes`.
      equal: whether a question has the row's answer.
      references: several true diagnoses and their weights, which sum to 1; empty where there is
        one. `reference` is one of them.
      skin_type: Fitzpatrick's, 1 to 6, where the data say it.
      quality: of the image, in the data's words.
      source: the data set.
      licence: of the image, where each has its own.
      partitions: what the reference is reported by: "ontology" and the data set's own.
      ontology: digest of the one that evaluated.
      log_prob: of the answer's tokens, summed, natural.
      tokens: how many they are.
      confidence: probability of the first diagnosis.
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
    graded_score: float | None = None
    rank: int | None = None
    rank_strict: int | None = None
    rank_any: int | None = None
    first: str | None = None
    safety: str | None = None
    management_consistent: bool | None = None
    known: bool | None = None
    malignancy_missed: bool | None = None
    malignancy_missed_in_six: bool | None = None
    urgent_missed: bool | None = None
    over_triaged: bool | None = None
    equal: bool | None = None
    references: Mapping[str, float] = field(default_factory=dict)
    skin_type: int | None = None
    quality: str | None = None
    source: str | None = None
    licence: str | None = None
    partitions: Mapping[str, str] = field(default_factory=dict)
    ontology: str | None = None
    log_prob: float | None = None
    tokens: int | None = None
    confidence: float | None = None

    @property
    def safety_critical(self) -> bool:
        """Whether the first diagnosis is a safety-critical error."""
        return self.safety == "critical"


def write_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """One JSON object a line, ASCII: any reader splits the lines alike, any text comes back."""
    make_folder(path.parent)
    # Not asdict, which copies every value: six times as long.
    lines = (json.dumps({"version": VERSION, **vars(p)}, allow_nan=False) for p in predictions)
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a file, of version 1 or of before there were versions.

    An earlier file says `safety_critical`, which is read as "critical" or "none", and nothing of
    refusals, outcomes, ontology and partitions. Raises InputError naming file and line, also where
    a row contradicts itself, a case is answered twice, or two ontologies evaluated.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: give a predictions.jsonl") from error
    except ValueError as error:
        raise InputError(f"{path}: is no text in UTF-8: restore the file") from error
    lines = text.split("\n")
    found, places, ontologies = [], {}, {}
    for n, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {n}"
        prediction = _read(line, where, cut=n == len(lines), before=len(found))
        key = prediction.task, prediction.case_id
        if key in places:
            raise InputError(
                f"{where}: the {prediction.task} of case "
                f"{shortened(printable(prediction.case_id), 60)} is on line {places[key]} too: "
                "remove one of the two"
            )
        places[key] = n
        if prediction.ontology is not None:
            ontologies.setdefault(prediction.ontology, n)
        if len(ontologies) > 1:
            raise InputError(
                f"{where}: another ontology evaluated this answer than that of line "
                f"{min(ontologies.values())}: evaluate all answers by one"
            )
        found.append(prediction)
    return found


_NEEDED = ("case_id", "task", "text", "reference", "valid")
_KNOWN = {f.name for f in fields(Prediction)}


def _not_finite(name: str):
    raise ValueError(f"{name} is no number")


def _read(line: str, where: str, *, cut: bool, before: int) -> Prediction:
    """`cut`: the line has no end; `before`: rows above it."""
    try:
        found = json.loads(line, object_pairs_hook=unique_keys, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        if cut:
            raise InputError(
                f"{where}: is cut short; {before:,} whole rows stand before it: evaluate again, or "
                "remove the line to go without this answer"
            ) from error
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
    lacking = [name for name in _NEEDED if name not in found]
    if lacking or not found.keys() <= _KNOWN:
        wrong = ", ".join(lacking) or printable(", ".join(sorted(found.keys() - _KNOWN)))
        raise InputError(
            f"{where}: {'lacks' if lacking else 'has the unknown key'} {shortened(wrong)}: "
            "restore the file"
        )
    check_values(found, where)
    prediction = Prediction(**found)
    wrong = contradiction(prediction, whole=version is not None)
    if wrong:
        raise InputError(f"{where}: {wrong}: evaluate the answers again")
    return prediction


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
