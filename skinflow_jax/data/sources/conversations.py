"""Conversations as training stacks write them, taken apart into who says what and shows what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skinflow_jax.data.sources.case import MARK
from skinflow_jax.errors import InputError
from skinflow_jax.typed_fields import shown

_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "system": "system",
}


@dataclass
class Turns:
    """A conversation taken apart: texts by role, and the images that stood inside it."""

    system: list[str] = field(default_factory=list)
    user: list[str] = field(default_factory=list)
    assistant: list[str] = field(default_factory=list)
    images: list[Any] = field(default_factory=list)


def read_turns(value: Any, where: str) -> Turns:
    """The turns of a text (a question), a list of messages, or the parts of one question.

    A message has `role` and `content`, `from` and `value`, or its role as the key; a content is
    text or parts of type text and image. Raises InputError, naming `where`, for anything else.
    """
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
