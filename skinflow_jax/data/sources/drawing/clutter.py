"""What a hurried photograph has besides the lesion: hair, ruler, pen, uneven light, slight blur."""

import math

import numpy as np

from skinflow_jax.data.sources.drawing.canvas import Canvas, rgb, strokes

_INK = (rgb(58, 40, 120), rgb(30, 60, 140), rgb(40, 40, 48))


def draw_objects(canvas: Canvas, clutter: float, rng: np.random.Generator) -> None:
    """Lay hair, pen marks and a ruler over the skin, each with probability `clutter` (0 to 1)."""
    hair, pen, ruler = rng.uniform(size=3) < clutter * np.array([0.7, 0.4, 0.4])
    if hair:
        draw_hair(canvas, rng, count=int(rng.integers(4, 5 + round(14 * clutter))), width_mm=0.16)
    if pen:
        _draw_pen(canvas, rng)
    if ruler:
        _draw_ruler(canvas, rng)


def draw_hair(
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    count: int,
    width_mm: float,
    length_mm: tuple[float, float] = (10, 30),
    direction: float | None = None,
    colour: np.ndarray | None = None,
) -> None:
    """Curved hairs from random roots, all ways or combed in one `direction` (radians)."""
    roots = rng.uniform(-20, 20, (count, 1, 2))
    angle = rng.uniform(0, 2 * np.pi, (count, 1))
    if direction is not None:
        angle = direction + 0.25 * rng.standard_normal((count, 1))
    length = rng.uniform(*length_mm, (count, 1))
    t = np.linspace(0, 1, int(length_mm[1] / max(canvas.pixel_mm, 0.2) * 0.8))[None, :]
    bend = angle + rng.uniform(-0.7, 0.7, (count, 1)) * t
    points = roots + np.stack([np.cos(bend), np.sin(bend)], -1) * (length * t)[..., None]
    if colour is None:
        colour = rgb(48, 34, 26) * rng.uniform(0.6, 1.2)
    canvas.paint(colour, 0.85 * strokes(canvas, points, width_mm))


def _draw_pen(canvas: Canvas, rng: np.random.Generator) -> None:
    """A surgeon's mark: dashes on a circle, or an arrow of one line towards the middle."""
    ink = _INK[rng.integers(len(_INK))]
    if rng.uniform() < 0.5:
        angle = np.linspace(0, 2 * np.pi, 320)
        angle = angle[np.sin(angle * rng.integers(5, 9)) > 0]
        points = rng.uniform(15, 18) * np.stack([np.cos(angle), np.sin(angle)], -1)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        points = np.linspace(12, 19, 60)[:, None] * np.array([np.cos(angle), np.sin(angle)])
    canvas.paint(ink, 0.75 * strokes(canvas, points, 0.9))


def _draw_ruler(canvas: Canvas, rng: np.random.Generator) -> None:
    """A paper strip along one side with a tick each millimetre, longer at 5 and 10."""
    along, across = (canvas.x, canvas.y) if rng.uniform() < 0.5 else (canvas.y, canvas.x)
    depth = across * int(rng.choice([-1, 1])) - (20 - rng.uniform(3.0, 4.5))
    paper = np.clip(depth / canvas.pixel_mm + 0.5, 0, 1) * np.ones_like(canvas.height)
    canvas.paint(rgb(240, 240, 236), paper)
    millimetre = np.round(along)
    length = np.where(millimetre % 10 == 0, 2.4, np.where(millimetre % 5 == 0, 1.7, 1.0))
    on_tick = np.abs(along - millimetre) < max(0.12, 0.55 * canvas.pixel_mm)
    canvas.paint(rgb(25, 25, 30), 0.8 * (on_tick & (depth > 0) & (depth < length)))
    canvas.height *= 1 - paper
    canvas.gloss *= 1 - paper


def spoil(image: np.ndarray, clutter: float, rng: np.random.Generator) -> np.ndarray:
    """Uneven light and slight blur in proportion to `clutter`; image float32 [3, S, S] in 0..1."""
    size = image.shape[1]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    angle, strength = rng.uniform(0, 2 * np.pi), 0.28 * clutter * rng.uniform()
    light = 1 + strength * (math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None])
    image = image * light
    if rng.uniform() < 0.5 * clutter:
        for blurred in (image, image.swapaxes(1, 2)):
            blurred[:, 1:-1] = 0.25 * (blurred[:, :-2] + blurred[:, 2:]) + 0.5 * blurred[:, 1:-1]
    return image
