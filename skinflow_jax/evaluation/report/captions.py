"""Captions field by field: what is known, what was answered, how often they agree."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from skinflow_jax.clinical import Schema, caption_field_scores, parse_caption
from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.metrics import mean_with_interval
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.report.evaluations import Evaluation
from skinflow_jax.evaluation.report.figures import shown
from skinflow_jax.evaluation.tables import Figure


class FieldShown(NamedTuple):
    """One field of a caption in words; `score` in [0, 1], None where nothing is known of it."""

    name: str
    known: str
    given: str
    score: float | None


def fields_of(prediction: Prediction, schema: Schema) -> list[FieldShown]:
    """The fields that are known or were answered; empty for a caption of another schema."""
    known, scores = _known(prediction), _scores(prediction, schema)
    given = parse_caption(prediction.text, schema).fields or {}
    names = list(dict.fromkeys([*known, *given])) if known else []
    return [
        FieldShown(
            name.replace("_", " "),
            _values(known.get(name)),
            _values(given.get(name)),
            scores.get(name),
        )
        for name in names
    ]


def by_field(evaluation: Evaluation, schema: Schema) -> list[dict[str, Any]]:
    """For each field the share of equal values and the mean score, over cases that know it."""
    scores: dict[str, list[tuple[float, str]]] = {}
    for p in evaluation.predictions:
        if p.task == "caption":
            for name, score in _scores(p, schema).items():
                scores.setdefault(name, []).append((score, p.group or p.case_id))
    return [
        {"label": name.replace("_", " "), "figures": _figures(scores[name])}
        for name in schema.fields
        if name in scores
    ]


def _figures(scored: list[tuple[float, str]]):
    values, groups = [score for score, _ in scored], [group for _, group in scored]
    equal = mean_with_interval([float(score == 1) for score in values], groups=groups)
    return [
        shown("equal", Figure("equal %", equal)),
        shown("score", Figure("score", mean_with_interval(values, groups=groups), percent=False)),
    ]


def _known(prediction: Prediction) -> Mapping[str, Any]:
    try:
        known = json.loads(prediction.reference)
    except (ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _scores(prediction: Prediction, schema: Schema) -> dict[str, float]:
    try:
        return caption_field_scores(prediction.text, _known(prediction), schema)
    except (InputError, TypeError, AttributeError):  # no field known, or of another schema
        return {}


def _values(value: Any) -> str:
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
