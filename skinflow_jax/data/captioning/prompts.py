"""The two requests: describe what is visible, and recover the diagnosis from the description.

The paper's prompts are not public; the wording is ours. `PROMPT_VERSION` goes up when it changes.
"""

from collections.abc import Sequence
from typing import Any

from skinflow_jax.clinical.schema import Schema

PROMPT_VERSION = 1
_MOST_TOKENS = 1024
Body = dict[str, Any]


def describe(
    model: str, schema: Schema, diagnosis: str, images: Sequence[str], refusal: str = ""
) -> Body:
    """Asks for a caption of `images` (addresses or data URLs) whose diagnosis is known.

    `refusal`: why the last one was not taken, "" for the first.
    """
    many = " (a list of one or more)"
    keys = "\n".join(
        f'"{field.name}"{many if field.many else ""}: {" | ".join(field.values)}'
        for field in schema.fields.values()
    )
    text = (
        "These are images of one skin lesion, for a training set. Its proven diagnosis is: "
        f"{diagnosis}.\nDescribe only what is visible, as one JSON object with these keys and "
        f"values:\n{keys}\nLeave out a key that the images do not show. Write no other key, no "
        "other word than these values and nothing around the object. Name no disease."
    )
    if refusal:
        text += f"\nAn earlier description was not taken: {refusal}. Look again."
    pictures = [{"type": "image_url", "image_url": {"url": address}} for address in images]
    return _body(model, [*pictures, {"type": "text", "text": text}])


def recover(model: str, caption: str) -> Body:
    """Asks for the diagnoses that a caption, as JSON, describes; no image, no hint."""
    text = (
        f"A skin lesion is described so:\n{caption}\n"
        "Name the six most likely diagnoses, best first, as one JSON object and nothing else: "
        '{"diagnoses": ["...", "..."]}'
    )
    return _body(model, [{"type": "text", "text": text}])


def _body(model: str, content: list[dict[str, Any]]) -> Body:
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "max_completion_tokens": _MOST_TOKENS}
