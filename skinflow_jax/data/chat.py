"""The two tasks as conversations: what is asked, what is the taught answer, which ids they become.

The paper's prompts are not public; the wording here is ours, short because every word is paid for
in each prompt.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from skinflow_jax.clinical.caption_schema import FIELDS, to_json
from skinflow_jax.data.sources.case import Case
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import token_count

TASKS = ("caption", "diagnosis")
LISTED = 6
"""Diagnoses in an answer, as many as the paper ranks."""

PROMPTS = {
    "caption": (
        "Describe the skin lesion as one JSON object with the keys "
        f"{', '.join(FIELDS)}. Leave out what you cannot see. Name no disease."
    ),
    "diagnosis": (
        "Name the six most likely diagnoses of this skin lesion, best first, "
        'as JSON: {"diagnoses": ["...", ...]}'
    ),
}

Messages = list[dict[str, Any]]


def messages(task: str, n_images: int = 1) -> Messages:
    """The user's turn: the images, then the task's prompt, in Hugging Face's message format."""
    if task not in TASKS:
        raise ConfigError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")
    images = [{"type": "image"}] * n_images
    return [{"role": "user", "content": [*images, {"type": "text", "text": PROMPTS[task]}]}]


def prompt_texts(render: Callable[[Messages], str]) -> list[str]:
    """The prompt of each task about one image; `render` makes text of messages."""
    return [render(messages(task)) for task in TASKS]


def target_text(task: str, case: Case, diagnoses: Sequence[str], seed: int) -> str:
    """The answer that supervised warm-up teaches for `case`.

    A caption is the JSON of the known fields. A diagnosis is the list of the true one and five
    others of the closed list `diagnoses` (fewer if it is shorter), drawn from (seed, case_id):
    warm-up teaches the format and the first place only, the order of the rest is left to RL.

    Raises:
      InputError: the case knows nothing of what the task asks, or has an invalid caption.
    """
    if task == "diagnosis":
        return _diagnosis_target(case, diagnoses, seed)
    try:
        text = to_json(case.caption)
    except InputError as error:
        raise InputError(f"case {case.case_id}: {error}") from error
    if text == "{}":
        raise InputError(f"case {case.case_id}: no caption field is known; drop the caption task")
    return text


def _diagnosis_target(case: Case, diagnoses: Sequence[str], seed: int) -> str:
    if not case.diagnosis:
        raise InputError(f"case {case.case_id}: no diagnosis is known; drop the diagnosis task")
    others = [name for name in diagnoses if name != case.diagnosis]
    key = hashlib.sha256(f"{seed}/{case.case_id}".encode()).digest()
    order = np.random.default_rng(list(key)).permutation(len(others))
    listed = [case.diagnosis, *(others[i] for i in order[: LISTED - 1])]
    return json.dumps({"diagnoses": listed}, ensure_ascii=False)


def expand_placeholders(
    ids: Sequence[int], grids: Sequence[tuple[int, int]], config: VlmConfig
) -> np.ndarray:
    """Each image placeholder, in order, becomes as many as its image has tokens: int32 `[L]`.

    Args:
      ids: one placeholder an image.
      grids: (rows, columns) in patches of each image.
      config: names the placeholder's id.

    Raises:
      InputError: the number of placeholders is not the number of images.
    """
    ids = np.asarray(ids, np.int32)
    is_image = ids == config.image_token_id
    if is_image.sum() != len(grids):
        raise InputError(
            f"{is_image.sum()} image placeholders for {len(grids)} images; "
            "the prompt needs exactly one for each image"
        )
    copies = np.ones(len(ids), int)
    copies[is_image] = [token_count(grid, config.vision) for grid in grids]
    return np.repeat(ids, copies)


def prompt_ids(
    tokenizer, task: str, grids: Sequence[tuple[int, int]], config: VlmConfig
) -> np.ndarray:
    """Ids of the task's prompt about images of these grids, up to where the answer starts."""
    text = tokenizer.render_chat(messages(task, len(grids)), add_generation_prompt=True)
    return expand_placeholders(tokenizer.encode(text), grids, config)


def corpus(
    cases: Iterable[Case],
    diagnoses: Sequence[str],
    seed: int,
    render: Callable[[Messages], str],
) -> Iterator[str]:
    """Texts to train a tokenizer on: all prompts, targets, caption values and diagnosis names.

    Args:
      cases: whose targets are included.
      diagnoses: the closed list that `target_text` draws from.
      seed: as given to `target_text`.
      render: turns messages into the text with the generation prompt.
    """
    yield from prompt_texts(render)
    yield from (json.dumps({"diagnoses": [name]}, ensure_ascii=False) for name in diagnoses)
    for field in FIELDS.values():
        yield from (json.dumps({field.name: value}, ensure_ascii=False) for value in field.values)
    for case in cases:
        if case.caption:
            yield target_text("caption", case, diagnoses, seed)
        if case.diagnosis:
            yield target_text("diagnosis", case, diagnoses, seed)
