"""What a row of a training stack says, in whichever of their forms: question, answer, images.

TRL, EasyR1, verl, ms-swift, LLaMA-Factory, VLM-R1 and OpenRLHF name the same things differently;
each form below is one that their documents or code show.
"""

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skinflow_jax.data.sources.case import MARK
from skinflow_jax.errors import InputError, shortened
from skinflow_jax.typed_fields import shown

PROMPT_KEYS = (
    *("messages", "conversations", "conversation"),
    *("prompt", "problem", "query", "instruction"),
)
IMAGE_KEYS = ("images", "image")
ANSWER_KEYS = ("answer", "solution", "ground_truth", "label", "reward_model.ground_truth")
_REPLY_KEYS = ("response", "output", "completion")  # the assistant's turn where it has a key
_OTHER_MEDIA = ("videos", "video", "audios", "audio")
_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "system": "system",
}
# Qwen's own tokens for an image may stand where others write the mark.
_MARKS = re.compile(re.escape("<|vision_start|><|image_pad|><|vision_end|>"))
_LEADING = re.compile(rf"(?:\s*{MARK})+\s*")


@dataclass
class Turns:
    """A conversation taken apart: texts by role, and the images that stood inside it."""

    system: list[str] = field(default_factory=list)
    user: list[str] = field(default_factory=list)
    assistant: list[str] = field(default_factory=list)
    images: list[Any] = field(default_factory=list)


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
    turns = _turns(looked_up(row, prompt_key), f"{where}: {prompt_key}")
    image_key = _first_key(row, (image,) if image else IMAGE_KEYS)
    listed = [] if image_key is None else _listed(looked_up(row, image_key))
    images = listed or turns.images
    text = _question(row, prompt_key, turns, where)
    used = {prompt_key.split(".")[0], (image_key or "image").split(".")[0], "system"}
    reply = _answer(row, turns, (answer,) if answer else ANSWER_KEYS)
    for words in (text, reply):
        check_characters(words, where)
    return RowContent(
        prompt=marked(text, len(images), where),
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


def _turns(value: Any, where: str) -> Turns:
    found = Turns()
    if isinstance(value, str):
        found.user.append(value)
        return found
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{where} is {shown(value)}; give text or a list of messages")
    if all(isinstance(part, Mapping) and part.get("type") and not _role(part) for part in value):
        found.user.append(_content(list(value), found, where))
        return found
    for turn in value:
        for role, content in _spoken(turn, where):
            getattr(found, role).append(_content(content, found, where))
    return found


def _role(turn: Mapping[str, Any]) -> str:
    return turn.get("role") or turn.get("from") or ""


def _spoken(turn: Any, where: str) -> list[tuple[str, Any]]:
    """(role, content) of a message: `role` and `content`, `from` and `value`, or role: content."""
    if isinstance(turn, Mapping):
        if _role(turn):
            role = _ROLES.get(str(_role(turn)).lower())
            content = turn.get("content") if "content" in turn else turn.get("value")
            if role and content is not None:
                return [(role, content)]
        elif named := [(_ROLES[key], turn[key]) for key in turn if key in _ROLES and turn[key]]:
            return named
    raise InputError(
        f"{where} has the message {shown(turn)}; a message has a role (system, user or "
        "assistant) and a content"
    )


def _content(content: Any, turns: Turns, where: str) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for part in content if isinstance(content, (list, tuple)) else [content]:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in ("image", "image_url"):
            texts.append(MARK)
            turns.images += _inside(part)
        else:
            raise InputError(f"{where} has the part {shown(part)}; only text and image are read")
    return "".join(texts)


def _inside(part: Mapping[str, Any]) -> list[Any]:
    """The image that a part of a message brings along, if it does."""
    for key in ("image", "image_url", "url", "path", "base64"):
        value = part.get(key)
        if isinstance(value, Mapping) and "url" in value:
            value = value["url"]
        if value:
            return [value]
    return []


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
    leading = _LEADING.match(text)
    if leading:
        return MARK * leading[0].count(MARK) + text[leading.end() :].strip()
    return MARK * (images - marks) + text.strip()


def check_characters(text: str, where: str) -> None:
    """JSON can escape half of a character, which no tokenizer and no file takes.

    Raises InputError naming it.
    """
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
