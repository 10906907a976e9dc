"""What a row of `predictions.jsonl` may hold, and which of its values contradict each other."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from skinflow_jax.clinical.limits import Refusal
from skinflow_jax.clinical.parsing import MOST_DIAGNOSES
from skinflow_jax.clinical.rewards import rank_value
from skinflow_jax.errors import InputError, shortened

TASKS = ("caption", "diagnosis", "question")
SAFETY = ("critical", "undetermined", "none")
_OUTCOMES = ("malignancy_missed", "malignancy_missed_in_six", "urgent_missed", "over_triaged")

_OF_ONE_TASK = {
    "caption_reward": "caption",
    "equal": "question",
    **dict.fromkeys(
        ("diagnosis_reward", "graded_score", "rank", "rank_strict", "rank_any"), "diagnosis"
    ),
    **dict.fromkeys(
        ("first", "safety", "management_consistent", "known", "confidence"), "diagnosis"
    ),
    **dict.fromkeys(_OUTCOMES, "diagnosis"),
}
"""What only one task has."""

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("case_id", "task", "text", "reference", "group"), (str,)),
    **dict.fromkeys(("refusal", "first", "safety", "ontology"), (str, type(None))),
    **dict.fromkeys(("quality", "source", "licence"), (str, type(None))),
    **dict.fromkeys(("caption_reward", "diagnosis_reward"), (float, int, type(None))),
    **dict.fromkeys(("graded_score", "log_prob", "confidence"), (float, int, type(None))),
    **dict.fromkeys(("rank", "rank_strict", "rank_any"), (int, type(None))),
    **dict.fromkeys(("skin_type", "tokens"), (int, type(None))),
    "valid": (bool,),
    **dict.fromkeys(("partitions", "references"), (dict,)),
}
_RANGES = {
    **dict.fromkeys(("rank", "rank_strict", "rank_any"), (1, MOST_DIAGNOSES)),
    **dict.fromkeys(("caption_reward", "diagnosis_reward", "graded_score"), (0, 1)),
    **{"skin_type": (1, 6), "confidence": (0, 1), "log_prob": (-math.inf, 0)},
    "tokens": (1, math.inf),
}
_CHOICES = {"task": TASKS, "safety": (*SAFETY, None), "refusal": (*Refusal, None)}
_NEAR = 1e-6
"""Of scores and weights, which other programs may round."""


def check_values(found: Mapping[str, Any], where: str) -> None:
    """Raise InputError naming the first key whose value has a wrong type or lies out of range."""
    for name, value in found.items():
        if not _fits(name, value):
            raise InputError(f"{where}: {name} is {shortened(repr(value), 60)}: restore the file")


def _fits(name: str, value: Any) -> bool:
    types = _TYPES.get(name, (bool, type(None)))
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return False
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    if types and isinstance(value, int | float) and not low <= value <= high:
        return False
    if name == "partitions":
        return all(isinstance(part, str) for part in value.values())
    if name == "references":
        return all(type(weight) in (int, float) and weight > 0 for weight in value.values())
    return name not in _CHOICES or value in _CHOICES[name]


def contradiction(row: Any, *, whole: bool = True) -> str | None:
    """What in a `Prediction` of right types cannot be so, or None; `whole`: it is of version 1."""
    return next(_contradictions(row, whole), None)


def _contradictions(row: Any, whole: bool) -> Iterator[str]:
    for name, task in _OF_ONE_TASK.items():
        if row.task != task and getattr(row, name) is not None:
            yield f"a {row.task} has no {name}, that is of a {task}"
    if row.valid and row.refusal is not None:
        yield f"the answer is valid and was refused ({row.refusal})"
    if whole and row.task != "question" and not row.valid and row.refusal is None:
        yield "the answer is not valid and no refusal says why"
    if not row.valid and row.caption_reward:
        yield "a refused caption has a caption_reward above 0"
    if (row.log_prob is None) != (row.tokens is None):
        yield "log_prob and tokens come together"
    if row.references and abs(math.fsum(row.references.values()) - 1) > _NEAR:
        yield "the weights of references do not sum to 1"
    if row.references and row.reference not in row.references:
        yield "reference is not among references"
    if row.task == "diagnosis":
        yield from _of_diagnosis(row, whole)


def _of_diagnosis(row: Any, whole: bool) -> Iterator[str]:
    rank = row.rank
    if row.valid != (row.first is not None) and whole:
        yield "a valid diagnosis has a first one, and a refused one has none"
    if not row.valid and not (rank is None and row.safety in (None, "undetermined")):
        yield "the answer was refused, and has a rank or is not undetermined"
    if not row.valid and (row.management_consistent or row.confidence is not None):
        yield "the answer was refused, and has a confidence or a management that is consistent"
    if rank is not None and row.diagnosis_reward is None and whole:
        yield f"rank {rank} has no diagnosis_reward"
    if row.diagnosis_reward is not None:
        worth = 0.0 if rank is None else rank_value(rank, "linear")
        if abs(row.diagnosis_reward - worth) > _NEAR:
            said = "no rank" if rank is None else f"rank {rank}"
            yield f"diagnosis_reward is {row.diagnosis_reward:g}, and {said} is worth {worth:.4g}"
        if row.graded_score is not None and row.graded_score < worth - _NEAR:
            yield "graded_score is less than diagnosis_reward"
    if row.rank_strict is not None and (rank is None or rank > row.rank_strict):
        yield f"rank_strict is {row.rank_strict} and rank {rank}"
    if row.references and rank is not None and (row.rank_any is None or row.rank_any > rank):
        yield f"rank_any is {row.rank_any} and rank {rank}"
    if row.rank_any is not None and not row.references:
        yield "rank_any is of several references, and there are none"
    yield from _of_outcomes(row)


def _of_outcomes(row: Any) -> Iterator[str]:
    if row.rank == 1 and row.safety not in (None, "none"):
        yield f"rank is 1 and safety {row.safety}"
    for name in _OUTCOMES:
        if row.rank == 1 and getattr(row, name):
            yield f"rank is 1 and {name} true"
        if row.known is False and getattr(row, name) is not None:
            yield f"{name} is told of a reference that the ontology does not know"
    if row.rank is not None and row.malignancy_missed_in_six:
        yield f"rank is {row.rank} and malignancy_missed_in_six true"
    if row.malignancy_missed_in_six and row.malignancy_missed is False:
        yield "malignancy is missed in six and not by the first"
    if (row.malignancy_missed is None) != (row.malignancy_missed_in_six is None):
        yield "malignancy_missed and malignancy_missed_in_six come together"
    if row.urgent_missed is not None and row.over_triaged is not None:
        yield "a reference is urgent or it can wait: urgent_missed and over_triaged are both told"
