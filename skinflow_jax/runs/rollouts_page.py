"""Rollouts as one HTML page: no script, nothing from elsewhere, all text shown as written."""

import base64
import functools
import hashlib
import io
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from skinflow_jax.runs.rollouts_view import (
    RolloutsView,
    is_weighted,
    number,
    part_names,
    shown_text,
)

_HERE = Path(__file__).parent
_CHARACTERS = 20_000
"""Of a text in the page."""
_LONGER_SIDE = 512
"""Pixels of an image in the page."""


def rollouts_page(view: RolloutsView) -> str:
    """The page, as text that UTF-8 can write.

    Its security policy forbids scripts and every request, whatever is in the text.
    """
    style = (_HERE / "rollouts_page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    advantages = [r.advantage or 0.0 for each in view.groups for r in each.group.rollouts]
    return _template().render(
        view=view,
        style=style,
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'",
        widest=max(map(abs, advantages), default=0.0) or 1.0,
        parts_of=part_names,
        is_weighted=is_weighted,
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "shown": lambda text: shown_text(str(text), _CHARACTERS),
        "number": number,
        "data_address": _data_address,
    }
    text = (_HERE / "rollouts_page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


def _data_address(pixels: np.ndarray) -> str:
    """An image within the page: its pixels alone, so that nothing else of the file comes along."""
    image = Image.fromarray(pixels)
    image.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
