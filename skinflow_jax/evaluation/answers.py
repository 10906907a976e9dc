"""One answer evaluated by the clinical rules: what becomes of a text, whoever wrote it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from skinflow_jax.clinical import (
    CLINICAL,
    ParsedDiagnoses,
    Schema,
    caption_reward,
    ontology,
    outcome,
    parse_caption,
    parse_diagnoses,
    relation,
)
from skinflow_jax.clinical.names import find
from skinflow_jax.clinical.rewards import best_of_ranks, distinct
from skinflow_jax.clinical.wording import same_answer
from skinflow_jax.evaluation.predictions import Prediction

HARMLESS_SIBLING = 0.5
"""Of the graded score, what a sibling that is no safety-critical error is worth; our choice."""


@dataclass(frozen=True)
class Asked:
    """What an answer is evaluated against; `data.pipeline.Example` has all of it too."""

    case_id: str
    task: str
    diagnosis: str = ""
    group: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    soft: Mapping[str, float] = field(default_factory=dict)
    caption: Mapping[str, Any] = field(default_factory=dict)
    answer: str = ""
    schema: Schema = field(default=CLINICAL, repr=False)


@dataclass(frozen=True)
class Likelihood:
    """Of an answer: log-probability summed over its tokens, how many; probability of the first."""

    log_prob: float | None
    tokens: int | None
    confidence: float | None = None


def evaluate_answer(
    text: str,
    asked: Asked,
    likelihood: Likelihood | None = None,
    read: Callable[[str], ParsedDiagnoses] = parse_diagnoses,
) -> Prediction:
    """The evaluation of one answer; an invalid one stays in every denominator as wrong.

    `read`: what diagnoses a text holds; of other systems one of `clinical.listed`.
    """
    found, facts = _evaluated(text, asked, read), asked.attributes
    if likelihood is not None:
        sure = likelihood.confidence if found.first is not None else None
        found = replace(
            found, log_prob=likelihood.log_prob, tokens=likelihood.tokens, confidence=sure
        )
    skin_type = facts.get("fitzpatrick")
    return replace(
        found,
        group=asked.group,
        skin_type=skin_type if isinstance(skin_type, int) and 1 <= skin_type <= 6 else None,
        partitions=dict(found.partitions) | _words(facts, lambda name: name.endswith("partition")),
        **_words(facts, lambda name: name in ("quality", "source", "licence")),
    )


def _evaluated(text: str, asked: Asked, read: Callable[[str], ParsedDiagnoses]) -> Prediction:
    if asked.task == "diagnosis":
        return _diagnosis(text, asked, read(text))
    return _caption(text, asked) if asked.task == "caption" else _question(text, asked)


def _words(facts: Mapping[str, Any], wanted) -> dict[str, str]:
    """Those that are text and not empty."""
    return {k: v for k, v in facts.items() if wanted(k) and isinstance(v, str) and v}


def _caption(text: str, asked: Asked) -> Prediction:
    known, schema = asked.caption, asked.schema
    parsed = parse_caption(text, schema)
    return Prediction(
        *(asked.case_id, "caption", text, json.dumps(known), parsed.fields is not None),
        refusal=parsed.code,
        caption_reward=caption_reward(text, known, schema) if known else None,
    )


def _question(text: str, asked: Asked) -> Prediction:
    return Prediction(
        *(asked.case_id, "question", text, asked.answer, bool(text.strip())),
        equal=same_answer(text, asked.answer),
    )


def _diagnosis(text: str, asked: Asked, parsed: ParsedDiagnoses) -> Prediction:
    truth, ranked = find(asked.diagnosis), distinct(parsed.names or [])
    relations = [relation(name, asked.diagnosis) for name in ranked]
    several = asked.soft if len(asked.soft) > 1 else {}
    return Prediction(
        *(asked.case_id, "diagnosis", text, asked.diagnosis, bool(ranked)),
        refusal=parsed.code,
        diagnosis_reward=best_of_ranks(relations),
        graded_score=best_of_ranks(relations, sibling_credit=HARMLESS_SIBLING),
        rank_strict=_first(found.kind in ("exact", "synonym") for found in relations),
        rank_any=_first(any(relation(name, r).accepted for r in several) for name in ranked),
        first=ranked[0] if ranked else None,
        management_consistent=bool(relations) and relations[0].management_consistent,
        references=dict(several),
        partitions={"ontology": truth.partition} if truth is not None and truth.partition else {},
        ontology=ontology().digest,
        **outcome(ranked, asked.diagnosis)._asdict(),
    )


def _first(hits) -> int | None:
    """Rank, from 1, of the first that is true."""
    return next((rank for rank, hit in enumerate(hits, start=1) if hit), None)
