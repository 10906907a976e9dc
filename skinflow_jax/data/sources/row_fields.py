"""What a row of a training stack says, in whichever of their forms: question, answer, images.

TRL, EasyR1, verl, ms-swift, LLaMA-Factory, VLM-R1 and OpenRLHF name the same things differently;
each form below is one that their documents or code show.
"""

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skinflow_jax.data.sources.case import MARK
from skinflow_jax.data.sources.conversations import Turns, read_turns
from skinflow_jax.errors import InputError, shortened

PROMPT_KEYS = (
    *("messages", "conversations", "conversation"),
    *("prompt", "problem", "query", "instruction"),
)
IMAGE_KEYS = ("images", "image")
ANSWER_KEYS = ("answer", "solution", "ground_truth", "label", "reward_model.ground_truth")
_REPLY_KEYS = ("response", "output", "completion")  # the assistant's turn where it has a key
_OTHER_MEDIA = ("videos", "video", "audios", "audio")
# Qwen's own tokens for an image may stand where others write the mark.
_MARKS = re.compile(re.escape("<|vision_start|><|image_pad|><|vision_end|>"))
_CONTROL = re.compile(r"<\|[a-z_]{2,30}\|>")
_LEADING = re.compile(rf"(?:\s*{MARK})+\s*")


@dataclass(frozen=True)
class RowContent:
    """What a row says: `prompt` with one `MARK` an image, `answer`, `images` as they stand."""

    prompt: str
    answer: str
    images: list[Any]
    columns: dict[str, Any]


def read_row(
    row: Mapping[str, Any], where: str, *, prompt: str = "", answer: str = "", image: str = ""
) -> RowContent:
    """The content of a row in any of the known forms.

    Args:
      row: its fields.
      where: names file and row, for messages.
      prompt, answer, image: the owner's name of a field, dotted for one inside another; "" looks
        for the known ones in order.

    Raises InputError naming row, field and remedy: nothing asked, several questions, no image, a
    number of marks that is not the number of images, a video.
    """
    for key in _OTHER_MEDIA:
        if row.get(key):
            raise InputError(f"{where}: {key} are not read; remove the row")
    prompt_key = _first_key(row, (prompt,) if prompt else PROMPT_KEYS)
    if prompt_key is None:
        names = prompt or ", ".join(PROMPT_KEYS)
        raise InputError(f"{where}: nothing is asked (no {names}); add it or remove the row")
    turns = read_turns(looked_up(row, prompt_key), f"{where}: {prompt_key}")
    image_key = _first_key(row, (image,) if image else IMAGE_KEYS)
    listed = [] if image_key is None else _listed(looked_up(row, image_key))
    images = listed or turns.images
    text = _question(row, prompt_key, turns, where)
    used = {prompt_key.split(".")[0], (image_key or "image").split(".")[0], *IMAGE_KEYS, "system"}
    reply = _answer(row, turns, (answer,) if answer else ANSWER_KEYS)
    asked = marked(text, len(images), where)
    for words in (asked, reply):
        check_characters(words, where)
    return RowContent(
        prompt=asked,
        answer=reply,
        images=images,
        columns={key: json_value(value) for key, value in row.items() if key not in used},
    )


def looked_up(row: Mapping[str, Any], key: str) -> Any:
    """The field `key`, dotted for one inside another; None where it is absent."""
    if key in row:
        return row[key]
    found: Any = row
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def as_text(value: Any) -> str:
    """A field as text: a number or list as JSON has it, nothing as ""."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    return json.dumps(json_value(value), ensure_ascii=False)


def json_value(value: Any) -> Any:
    """A field of parquet or JSON as JSON can hold it; bytes become their number."""
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _first_key(row: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    for key in keys:
        value = looked_up(row, key)
        if value is not None and value != "" and value != []:
            return key
    return None


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    if isinstance(value, (list, tuple)):
        return [item for item in value if item is not None and item != ""]
    return [value]


def _question(row: Mapping[str, Any], key: str, turns: Turns, where: str) -> str:
    if len(turns.user) != 1 or len(turns.assistant) > 1 or row.get("history"):
        raise InputError(
            f"{where}: {key} has {len(turns.user)} questions and {len(turns.assistant)} answers; "
            "a row is one question: split the conversation"
        )
    system = [*turns.system, as_text(row.get("system"))]
    extra = as_text(row.get("input")) if key == "instruction" else ""
    parts = [*system, turns.user[0], extra]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def marked(text: str, images: int, where: str) -> str:
    """The question with one `MARK` an image: in front where it has none.

    Raises InputError where there is no image, or another number of marks.
    """
    text = _MARKS.sub(MARK, text)
    marks = text.count(MARK)
    if not images:
        raise InputError(f"{where}: has no image; add one or remove the row")
    if marks not in (0, images):
        raise InputError(
            f"{where}: the question has {marks} {MARK} marks and the row {images} images; "
            "write one mark an image, or none"
        )
    # Whether a line break follows the marks differs between stacks and says nothing.
    if not text.replace(MARK, "").strip():
        raise InputError(f"{where}: nothing is asked; write a question or remove the row")
    leading = _LEADING.match(text)
    if leading:
        return MARK * leading[0].count(MARK) + text[leading.end() :].strip()
    return MARK * (images - marks) + text.strip()


def check_characters(text: str, where: str) -> None:
    """JSON can escape half of a character, which no tokenizer takes; others steer the model.

    Raises InputError naming it.
    """
    if token := _CONTROL.search(text):
        raise InputError(f"{where}: its text holds the model's control token {token[0]}; remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise InputError(f"{where}: its text holds half a character, {half}; correct it") from error


def _answer(row: Mapping[str, Any], turns: Turns, keys: Sequence[str]) -> str:
    for key in keys:
        value = looked_up(row, key)
        if value is not None and value != "":
            return as_text(value)
    if turns.assistant:
        return turns.assistant[0].strip()
    return as_text(next((row[key] for key in _REPLY_KEYS if row.get(key)), None))


def answer_words(answer: str) -> str:
    """An answer without the tags that some stacks put around it."""
    inner = re.search(r"<answer>([^<]{1,500})</answer>", answer)
    return shortened(inner[1] if inner else answer, 500).strip()
