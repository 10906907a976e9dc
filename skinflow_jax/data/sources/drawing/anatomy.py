"""Simple landmarks at the margin of the field that tell where on the body the picture is."""

from collections.abc import Callable

import numpy as np

from skinflow_jax.data.sources.drawing.canvas import Canvas, rgb
from skinflow_jax.data.sources.drawing.clutter import draw_hair

_DRAPE = rgb(62, 104, 122)
_NAIL = rgb(240, 196, 190)
_RED_LIP = rgb(186, 72, 84)


def draw_landmarks(
    canvas: Canvas, location: str, tone: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw the landmarks of a caption's location; raises KeyError on an unknown one."""
    LANDMARKS[location](canvas, tone, rng)


def _side(rng: np.random.Generator) -> int:
    return int(rng.choice([-1, 1]))


def _inside(canvas: Canvas, distance: np.ndarray, soft: float = 0.4) -> np.ndarray:
    """0..1 [S, S] from a distance in mm, positive inside, with an edge of `soft` mm."""
    return np.clip(distance / max(soft, canvas.pixel_mm) + 0.5, 0, 1) * np.ones_like(canvas.height)


def _ellipse(canvas: Canvas, x: float, y: float, a: float, b: float) -> np.ndarray:
    """Distance in mm inside an ellipse with half axes a and b, right near its edge."""
    rho = np.sqrt(((canvas.x - x) / a) ** 2 + ((canvas.y - y) / b) ** 2)
    return (1 - rho) * min(a, b)


def _backdrop(canvas: Canvas, limb: np.ndarray, roundness: float = 5.0) -> None:
    """Leave a limb (distance in mm, positive inside) before a surgical drape; it curves away."""
    inside = _inside(canvas, limb)
    edge = np.clip(limb / roundness, 0, 1)
    canvas.height += 0.45 * roundness * np.sqrt(edge * (2 - edge))
    weave = 0.92 + 0.08 * np.sin(2.2 * canvas.x) * np.sin(2.2 * canvas.y)
    canvas.paint(_DRAPE * weave, 1 - inside)
    canvas.height *= inside
    canvas.gloss *= inside
    canvas.skin *= inside


def _crease(canvas: Canvas, distance: np.ndarray, width: float, depth: float = 0.5) -> None:
    """A fold of the skin: a dark groove along distance 0 (mm)."""
    groove = np.exp(-((distance / width) ** 2)) * np.ones_like(canvas.height)
    canvas.height -= depth * groove
    canvas.colour *= 1 - 0.35 * groove


def _face(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    side = _side(rng)
    x, y = side * 12.5, -16.0
    _crease(canvas, np.abs(_ellipse(canvas, x, y, 8.6, 4.6)), 0.5, 0.3)
    eye = _inside(canvas, _ellipse(canvas, x, y, 7.2, 3.2))
    canvas.paint(rgb(240, 238, 236), eye)
    canvas.paint(rgb(74, 50, 32), eye * _inside(canvas, _ellipse(canvas, x, y, 3.0, 3.0)))
    canvas.paint(rgb(10, 10, 12), eye * _inside(canvas, _ellipse(canvas, x, y, 1.4, 1.4)))
    lashes = np.exp(-((_ellipse(canvas, x, y, 7.2, 3.2) / 0.5) ** 2))
    canvas.paint(rgb(30, 20, 16), 0.85 * lashes)
    canvas.skin *= 1 - eye


def _nose(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    canvas.height += 5.0 * np.exp(-((canvas.x / 13.0) ** 2)) * (1 + 0 * canvas.y)
    for side in (-1, 1):
        nostril = _inside(canvas, _ellipse(canvas, side * 7.5, 17.2, 4.2, 2.4), 1.2)
        canvas.paint(rgb(40, 18, 16), 0.95 * nostril)
        canvas.skin *= 1 - nostril
        wing = _ellipse(canvas, side * 12.5, 12.5, 6.5, 7.5)
        outer = np.clip(side * canvas.x - 12.0, 0, 3) / 3
        groove = np.exp(-((wing / 0.8) ** 2)) * outer
        canvas.height -= 0.6 * groove
        canvas.colour *= 1 - 0.3 * groove


def _lip(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    bow = 1.6 * np.cos(canvas.x / 3.4) * np.exp(-((canvas.x / 9) ** 2))
    edge = 9.5 + bow + 0.006 * canvas.x**2
    red = _inside(canvas, canvas.y - edge, 0.6)
    vermilion = 0.4 * tone + 0.6 * _RED_LIP
    canvas.paint(vermilion * (1 + 0.06 * np.sin(3.1 * canvas.x)), 0.9 * red)
    canvas.height += red * (1.5 + 0.06 * np.sin(3.1 * canvas.x))
    _crease(canvas, canvas.y - 18.2 - 0.004 * canvas.x**2, 0.8, 1.0)


def _ear(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    side = _side(rng)
    rim = _ellipse(canvas, -6 * side, 3, 24.0, 22.0)
    _backdrop(canvas, rim, 3.0)
    canvas.height += 1.6 * np.exp(-(((rim - 2.5) / 1.5) ** 2))
    _crease(canvas, rim - 5.2, 1.0, 1.0)
    hollow = _inside(canvas, _ellipse(canvas, -17 * side, 14, 6.0, 7.0), 3.0)
    canvas.colour *= 1 - 0.6 * hollow


def _scalp(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    grey = rng.uniform() < 0.25
    colour = rgb(150, 145, 140) if grey else rgb(44, 30, 22)
    direction = rng.uniform(0, 2 * np.pi)
    draw_hair(
        canvas, rng, count=70, width_mm=0.28, length_mm=(8, 16), direction=direction, colour=colour
    )


def _neck(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    for y in (-17.0, -11.5 + rng.uniform(-1, 1), 14.0 + rng.uniform(-1, 1)):
        bend = 0.008 * canvas.x**2 + 0.4 * np.sin(0.35 * canvas.x + y)
        _crease(canvas, canvas.y - y - bend, 0.55, 0.4)


def _chest(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    x, y = _side(rng) * 17.0, 17.0
    areola = _inside(canvas, _ellipse(canvas, x, y, 9.0, 9.0), 1.2)
    canvas.paint(tone * np.array([0.72, 0.52, 0.50], np.float32)[:, None, None], 0.85 * areola)
    nipple = np.clip(_ellipse(canvas, x, y, 3.4, 3.4), 0, None)
    canvas.height += 1.0 * np.sqrt(nipple * (6.8 - nipple)) + 0.12 * areola


def _back(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    x = _side(rng) * 15.0
    canvas.height -= 1.6 * np.exp(-(((canvas.x - x) / 4.0) ** 2)) * (1 + 0 * canvas.y)
    for y in np.arange(-18.0, 20.0, 12.0) + rng.uniform(-3, 3):
        bump = np.clip(1 - np.hypot((canvas.x - x) / 4.4, (canvas.y - float(y)) / 5.0), 0, 1)
        canvas.height += 1.2 * bump * bump * (3 - 2 * bump)


def _abdomen(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    x, y = _side(rng) * 13.5, 15.5
    pit = _ellipse(canvas, x, y, 4.0, 5.0)
    canvas.height += 0.5 * np.exp(-(((pit + 1.0) / 2.0) ** 2))
    hole = _inside(canvas, pit, 3.5)
    canvas.height -= 1.5 * hole
    canvas.paint(0.4 * tone, 0.85 * hole)
    canvas.skin *= 1 - hole


def _arm(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    side = _side(rng)
    _backdrop(canvas, side * canvas.x + 15.0 + 0.8 * np.cos(canvas.y / 9), 9.0)


def _forearm(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    side = _side(rng)
    half = 16.0 + 0.09 * side * canvas.x
    _backdrop(canvas, half - np.abs(canvas.y), 7.0)
    for offset in (15.0, 17.2):
        _crease(canvas, side * canvas.x + offset + 0.01 * canvas.y**2, 0.4, 0.4)


def _hand(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    gap = np.full_like(canvas.height, 50.0)
    for x in (-12.5, 0.0, 12.5):
        wedge = np.abs(canvas.x - x) - np.clip((-10.5 - canvas.y) * 0.24, -4, 2.0)
        gap = np.minimum(gap, np.maximum(wedge, canvas.y + 10.5))
    _backdrop(canvas, np.where(canvas.y > -10.5, np.hypot(gap, canvas.y + 10.5), gap), 3.0)
    for y in (-15.0, -16.2):
        _crease(canvas, canvas.y - y, 0.3, 0.3)


def _thigh(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    hem = -13.5 + 0.05 * _side(rng) * canvas.x
    cloth = _inside(canvas, hem - canvas.y)
    weave = 1 + 0.05 * np.sin(5 * canvas.x) * np.sin(5 * canvas.y)
    stripe = np.where(np.abs(hem - 2.2 - canvas.y) < 0.35, 0.8, 1.0)
    canvas.paint(rgb(226, 228, 236) * (weave * stripe), cloth)
    canvas.height = canvas.height * (1 - cloth) + 1.0 * cloth
    canvas.gloss *= 1 - cloth
    canvas.skin *= 1 - cloth


def _leg(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    _backdrop(canvas, 16.5 + 0.04 * canvas.y - np.abs(canvas.x), 8.0)
    hairs = rgb(52, 36, 28)
    draw_hair(
        canvas,
        rng,
        count=26,
        width_mm=0.2,
        length_mm=(3, 7),
        direction=np.pi / 2,
        colour=hairs,
    )


def _foot(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    toes = canvas.y + 9.5
    for x, a in ((-14.5, 6.4), (-3.2, 4.6), (6.2, 4.3), (14.8, 4.1)):
        toes = np.maximum(toes, _ellipse(canvas, x, -11.0, a, 8.2))
    _backdrop(canvas, toes, 3.0)
    for x, a in ((-14.5, 3.6), (-3.2, 2.5), (6.2, 2.3), (14.8, 2.2)):
        nail = _inside(canvas, _ellipse(canvas, x, -16.0, a, 2.4), 0.5)
        canvas.paint(0.7 * _NAIL + 0.3 * tone, 0.9 * nail)
        canvas.gloss += 0.5 * nail


LANDMARKS: dict[str, Callable[[Canvas, np.ndarray, np.random.Generator], None]] = {
    "face": _face,
    "nose": _nose,
    "lip": _lip,
    "ear": _ear,
    "scalp": _scalp,
    "neck": _neck,
    "chest": _chest,
    "back": _back,
    "abdomen": _abdomen,
    "arm": _arm,
    "forearm": _forearm,
    "hand": _hand,
    "thigh": _thigh,
    "leg": _leg,
    "foot": _foot,
}
