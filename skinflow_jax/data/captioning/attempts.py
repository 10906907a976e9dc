"""One case: a caption is asked for, checked, and kept when its diagnosis is found from it alone.

The rule is the paper's, after third-party notes: a caption is accepted only when a language model
recovers the gold diagnosis from the caption alone; up to five attempts, then a person revises.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from skinflow_jax.clinical.limits import Refusal
from skinflow_jax.clinical.parsing import parse_caption, parse_diagnoses
from skinflow_jax.clinical.rewards import first_accepted
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.data.captioning.prompts import Body, describe, recover
from skinflow_jax.data.captioning.subjects import Subject
from skinflow_jax.endpoint.client import Endpoint
from skinflow_jax.endpoint.journal import Answer, Journal, request_key
from skinflow_jax.errors import InputError, printable, shortened

ATTEMPTS = 5


@dataclass(frozen=True)
class Rule:
    """How captions are asked for and accepted.

    Attributes:
      model: that describes.
      reader: that recovers the diagnosis.
      schema: of the captions.
      within: the diagnosis must be among so many of the reader's first; 1 is the paper's rule.
      attempts: at most.
    """

    model: str
    reader: str
    schema: Schema
    within: int = 1
    attempts: int = ATTEMPTS


@dataclass
class Outcome:
    """What came of a case: the last valid caption, {} for none, and whether it was accepted."""

    case_id: str
    diagnosis: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    attempts: int = 0
    accepted: bool = False
    reason: str = ""
    refusals: Counter[str] = field(default_factory=Counter)


class _Refusal(Exception):
    """Why a caption is not taken: the kind that is counted, and the words for the next attempt."""

    def __init__(self, kind: str, said: str):
        super().__init__(said)
        self.kind = kind


async def caption_case(
    subject: Subject, rule: Rule, endpoint: Endpoint, journal: Journal
) -> Outcome:
    """Up to `rule.attempts` captions of a case, until one is accepted.

    Raises what `Endpoint.ask` raises.
    """
    outcome = Outcome(subject.case_id, subject.diagnosis)
    while outcome.attempts < rule.attempts and not outcome.accepted:
        outcome.attempts += 1
        try:
            await _attempt(outcome, subject, rule, endpoint, journal)
            outcome.accepted, outcome.reason = True, ""
        except _Refusal as refusal:
            outcome.reason = str(refusal)
            outcome.refusals[refusal.kind] += 1
    return outcome


async def _attempt(
    outcome: Outcome, subject: Subject, rule: Rule, endpoint: Endpoint, journal: Journal
) -> None:
    def body(images: list[str]) -> Body:
        return describe(rule.model, rule.schema, subject.diagnosis, images, outcome.reason)

    key = request_key(body(subject.digests), outcome.attempts)
    sent = {} if journal.answer(key) else body(subject.data_urls())
    fields = checked(await endpoint.ask(sent, key, journal), rule.schema, subject.diagnosis)
    outcome.fields = fields
    question = recover(rule.reader, rule.schema.to_json(fields))
    key = request_key(question, outcome.attempts)
    answer = await endpoint.ask(question, key, journal)
    names = parse_diagnoses(answer.text)
    if names.names is None:
        raise _Refusal("no list of diagnoses from the reader", "the reader of it gave no answer")
    rank = first_accepted(answer.text, subject.diagnosis)
    if rank is None or rank > rule.within:
        raise _Refusal(
            "diagnosis not recovered", "the diagnosis was not recognised from the description alone"
        )


def checked(answer: Answer, schema: Schema, diagnosis: str) -> dict[str, list[str]]:
    """The canonical fields of an answer; raises an error that says why they are not taken."""
    if not answer.text.strip():
        raise _Refusal("empty answer", "it was empty")
    if not answer.whole:
        raise _Refusal("half an answer", "it was cut short")
    parsed = parse_caption(answer.text, schema)
    if parsed.fields is None:
        reason = shortened(printable(parsed.reason or ""))
        kind = "disease named" if parsed.code == Refusal.NAMES_DISEASE else "not a caption"
        raise _Refusal(kind, reason)
    if fault := names_diagnosis(parsed.fields, diagnosis):
        raise _Refusal("disease named", fault)
    try:
        fields = schema.canonical_fields(parsed.fields)
    except InputError as error:
        raise _Refusal("value outside the schema", shortened(printable(str(error)))) from error
    if not fields:
        raise _Refusal("empty answer", "it described nothing")
    # Again as the reader is shown it: a synonym's value may be the diagnosis.
    if fault := names_diagnosis(fields, diagnosis):
        raise _Refusal("disease named", fault)
    return fields


def names_diagnosis(fields: Mapping[str, list[str]], diagnosis: str) -> str:
    """Which field has the diagnosis in its words, "" for none: the ontology may not know it."""
    words = f" {normalise(diagnosis)} "
    for name, values in fields.items():
        if any(words in f" {normalise(value)} " for value in values):
            return f"{name!r} names the diagnosis"
    return ""
