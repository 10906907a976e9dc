"""The tasks: what is asked of a case, and which answer supervised training teaches.

A task is an entry of `TASKS`; its reward is the one of its name in `skinflow_jax.rl.rewards`, or
the user's. The paper's prompts are not public; the wording here is ours, short because every word
is paid for in each prompt.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.data.sources.case import MARK, Case
from skinflow_jax.errors import InputError

_KEYS = "{keys}"
LISTED = 6
"""Diagnoses in an answer, as many as the paper ranks."""


@dataclass(frozen=True)
class Task:
    """One kind of question.

    Attributes:
      template: the same prompt for every case, without marks: the images go in front; `_KEYS` in it
        are the fields of the caption schema. "" where each case brings its own prompt, with one
        `MARK` an image.
      target: the answer that supervised training teaches, of (case, the closed list of diagnoses,
        seed, schema of captions); raises InputError, without the case's name, where it knows none.
    """

    template: str
    target: Callable[[Case, Sequence[str], int, Schema], str]

    def wording(self, schema: Schema = CLINICAL) -> str:
        """The prompt of every case; "" where each brings its own."""
        return self.template.replace(_KEYS, ", ".join(schema.fields))

    def prompt(self, case: Case, schema: Schema) -> str:
        """The text of the question with one `MARK` an image.

        Raises InputError, without the case's name, where the case has no question.
        """
        if self.template:
            return MARK * len(case.views) + self.wording(schema)
        if not case.prompt:
            raise InputError("it has no prompt of its own; drop the question task")
        return case.prompt


def _caption(case: Case, diagnoses: Sequence[str], seed: int, schema: Schema) -> str:
    """The JSON of the known fields."""
    text = schema.to_json(case.caption)
    if text == "{}":
        raise InputError("no caption field is known; drop the caption task")
    return text


def _diagnosis(case: Case, diagnoses: Sequence[str], seed: int, schema: Schema) -> str:
    """The list of the true one and five others, fewer where the closed list is shorter.

    Soft diagnoses come first, the heaviest at the head. The others are drawn from (seed, case_id):
    warm-up teaches the format and the first places only, the order of the rest is left to RL.
    """
    if not case.diagnosis:
        raise InputError("no diagnosis is known; drop the diagnosis task")
    weighted = sorted(case.soft, key=lambda name: (-case.soft[name], name))
    known = list(dict.fromkeys([case.diagnosis, *weighted]))[:LISTED]
    others = [name for name in diagnoses if name not in known]
    key = hashlib.sha256(f"{seed}/{case.case_id}".encode()).digest()
    order = np.random.default_rng(list(key)).permutation(len(others))
    listed = [*known, *(others[i] for i in order[: LISTED - len(known)])]
    return json.dumps({"diagnoses": listed}, ensure_ascii=False)


def _answer(case: Case, diagnoses: Sequence[str], seed: int, schema: Schema) -> str:
    """The row's own."""
    if not case.answer:
        raise InputError("it has no answer of its own; drop the question task")
    return case.answer


TASKS: dict[str, Task] = {
    "caption": Task(
        f"Describe the skin lesion as one JSON object with the keys {_KEYS}. "
        "Leave out what you cannot see. Name no disease.",
        _caption,
    ),
    "diagnosis": Task(
        "Name the six most likely diagnoses of this skin lesion, best first, "
        'as JSON: {"diagnoses": ["...", ...]}',
        _diagnosis,
    ),
    "question": Task("", _answer),
}
PAPERS = ("caption", "diagnosis")
"""Stage I and Stage II: what is asked where nothing else is said."""


def target_text(
    task: str, case: Case, diagnoses: Sequence[str], seed: int, schema: Schema = CLINICAL
) -> str:
    """The answer that supervised training teaches for `case`; see `Task`.

    Raises InputError where the case knows nothing of what the task asks, or has an invalid caption.
    """
    try:
        return TASKS[task].target(case, diagnoses, seed, schema)
    except InputError as error:
        raise InputError(f"case {case.case_id}: {error}") from error


def prompt_text(task: str, case: Case, schema: Schema = CLINICAL) -> str:
    """What is asked of `case`, with one `MARK` an image; raises InputError where it has none."""
    try:
        return TASKS[task].prompt(case, schema)
    except InputError as error:
        raise InputError(f"case {case.case_id}: {error}") from error
