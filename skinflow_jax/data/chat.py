"""A question as a conversation, and the ids that it becomes."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.data.sources.case import MARK, Case
from skinflow_jax.data.tasks import PAPERS, TASKS, target_text
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import token_count

Messages = list[dict[str, Any]]


def messages(prompt: str) -> Messages:
    """The user's turn in Hugging Face's message format; `prompt` has one `MARK` an image."""
    first, *rest = prompt.split(MARK)
    content = [{"type": "text", "text": first}] if first else []
    for text in rest:
        content.append({"type": "image"})
        content += [{"type": "text", "text": text}] if text else []
    return [{"role": "user", "content": content}]


def prompt_texts(render: Callable[[Messages], str], schema: Schema = CLINICAL) -> list[str]:
    """The prompts of the paper's tasks about one image; `render` makes text of messages."""
    return [render(messages(MARK + TASKS[task].wording(schema))) for task in PAPERS]


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
    tokenizer, prompt: str, grids: Sequence[tuple[int, int]], config: VlmConfig
) -> np.ndarray:
    """Ids of a prompt, with one `MARK` for each of `grids`, up to where the answer starts."""
    return expand_placeholders(_short_ids(tokenizer, prompt), grids, config)


@functools.lru_cache(maxsize=64)
def _short_ids(tokenizer, prompt: str) -> tuple[int, ...]:
    """Ids with one placeholder an image; kept, because most rows of a batch ask the same."""
    text = tokenizer.render_chat(messages(prompt), add_generation_prompt=True)
    return tuple(tokenizer.encode(text))


def corpus(
    cases: Iterable[Case],
    diagnoses: Sequence[str],
    seed: int,
    render: Callable[[Messages], str],
    schema: Schema = CLINICAL,
) -> Iterator[str]:
    """Texts to train a tokenizer on: all prompts, targets, caption values and diagnosis names.

    A row's own question and answer are among them.

    Args:
      cases: whose targets are included.
      diagnoses: the closed list that `target_text` draws from.
      seed: as given to `target_text`.
      render: turns messages into the text with the generation prompt.
      schema: of the captions.
    """
    yield from prompt_texts(render, schema)
    yield from (json.dumps({"diagnoses": [name]}, ensure_ascii=False) for name in diagnoses)
    for field in schema.fields.values():
        yield from (json.dumps({field.name: value}, ensure_ascii=False) for value in field.values)
    for case in cases:
        if case.caption:
            yield target_text("caption", case, diagnoses, seed, schema)
        if case.diagnosis:
            yield target_text("diagnosis", case, diagnoses, seed)
        if case.prompt:
            yield render(messages(case.prompt))
        if case.answer:
            yield case.answer
