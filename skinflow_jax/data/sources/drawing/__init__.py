"""Synthetic clinical photographs, drawn from caption fields (not real patients, not for training
a device): every attribute of the caption is there to be seen in the pixels.
"""

import numpy as np

from skinflow_jax.data.sources.case import Caption
from skinflow_jax.data.sources.drawing.anatomy import draw_landmarks
from skinflow_jax.data.sources.drawing.arrangement import arrange
from skinflow_jax.data.sources.drawing.canvas import Canvas
from skinflow_jax.data.sources.drawing.clutter import draw_objects, spoil
from skinflow_jax.data.sources.drawing.lesion import Look, draw_lesion
from skinflow_jax.data.sources.drawing.skin import draw_skin, skin_tone


def draw_photograph(
    caption: Caption,
    *,
    fitzpatrick: int,
    size: int,
    rng: np.random.Generator,
    clutter: float = 0.0,
    clutter_rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a field of 40 x 40 mm, uint8 [size, size, 3], and the mask of its lesions.

    The mask, bool [size, size], has the pixels that lesions cover by half or more: of a border that
    fades, up to where it has faded by half. Reddened surroundings are no part of a lesion, and
    clutter hides none of it.

    Args:
        caption: all eight caption fields and `number`.
        fitzpatrick: skin type, 1 to 6.
        size: pixels along each side.
        rng: skin and lesions depend on it alone.
        clutter: 0 (a bare field) to 1 (hair, pen, ruler, uneven light, blur are likely).
        clutter_rng: clutter depends on it alone, so that it changes nothing underneath.
    """
    canvas = Canvas(size)
    tone = skin_tone(fitzpatrick, rng)
    draw_skin(canvas, tone, rng)
    draw_landmarks(canvas, caption["location"], tone, rng)
    look = Look(
        lesion_type=caption["lesion_type"],
        colours=_as_tuple(caption["colour"]),
        shape=caption["shape"],
        border=caption["border"],
        surfaces=_as_tuple(caption["surface"]),
    )
    for place in arrange(caption["size"], caption["distribution"], caption["number"], rng):
        draw_lesion(canvas, place, look, tone, rng)
    if clutter > 0 and clutter_rng is not None:
        draw_objects(canvas, clutter, clutter_rng)
    image = canvas.lit()
    radius = (canvas.x**2 + canvas.y**2) / 800.0
    image *= 1 - 0.10 * radius
    if clutter > 0 and clutter_rng is not None:
        image = spoil(image, clutter, clutter_rng)
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0)), canvas.lesion >= 0.5


def _as_tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
