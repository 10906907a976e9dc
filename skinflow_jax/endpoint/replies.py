"""What an endpoint's reply says: the answer, its tokens, how long to wait."""

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from skinflow_jax.endpoint.journal import MOST_TOKENS, Answer


def completion(content: bytes, expected: int) -> Answer:
    """The answer in the body of a reply; `expected` tokens where it tells none.

    Raises ValueError where it is no chat completion.
    """
    try:
        reply = json.loads(content)
        choice = reply["choices"][0]
        text = _text(choice["message"].get("content"))
        tokens = _tokens(reply.get("usage"), expected)
        return Answer(text, tokens, whole=choice.get("finish_reason") != "length")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no chat completion") from error


def _tokens(usage: Any, expected: int) -> int:
    """What the reply says it took, where that can be: an answer is not thrown away for it."""
    stated = usage.get("total_tokens") if isinstance(usage, dict) else None
    whole = isinstance(stated, int) and not isinstance(stated, bool)
    return stated if whole and 0 < stated < MOST_TOKENS else expected


def _text(content: Any) -> str:
    """Text of a message, which is a string or a list of parts; "" where it has none."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    if not isinstance(content, str | None):
        raise TypeError("content")
    return content or ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the header asks for, as a number or a date; None where it says nothing."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def estimate(body: Mapping[str, Any]) -> int:
    """Tokens that a request may take, before any is known: 4 characters each, 1,500 an image."""
    tokens = body["max_completion_tokens"]
    for message in body["messages"]:
        for part in message["content"]:
            tokens += 1500 if part["type"] == "image_url" else len(part["text"]) // 4
    return tokens
