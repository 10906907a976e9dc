"""The surface of a lesion: scale, crust, warts, ulcer, shine."""

import numpy as np

from skinflow_jax.data.sources.drawing.canvas import Canvas, Patch, rgb, smooth_noise

_HONEY, _CLEFT, _SOOT = rgb(214, 158, 68), rgb(96, 52, 20), rgb(40, 28, 22)
_RAW, _SLOUGH = rgb(112, 12, 20), rgb(214, 186, 110)


def _smooth(canvas: Canvas, patch: Patch, rng: np.random.Generator) -> None:
    """Nothing to add."""


def _scaly(canvas: Canvas, patch: Patch, rng: np.random.Generator) -> None:
    """Silvery flakes, thin and lifting, over most of the lesion."""
    shape = patch.cover.shape
    flake = smooth_noise(rng, shape, 0.8 * patch.grain)
    flake += 0.6 * smooth_noise(rng, shape, 0.35 * patch.grain)
    flake = np.clip(1.6 * (flake - 0.1), 0, 1) * patch.cover
    canvas.paint(rgb(242, 238, 232), 0.78 * flake, patch.where)
    canvas.height[patch.where] += 0.14 * flake


def _crusted(canvas: Canvas, patch: Patch, rng: np.random.Generator) -> None:
    """Thick honey-brown clods with dark cracks between them."""
    shape = patch.cover.shape
    clod = smooth_noise(rng, shape, 1.4 * patch.grain)
    clod += 0.5 * smooth_noise(rng, shape, 0.45 * patch.grain)
    mask = np.clip(3 * (clod + 0.35), 0, 1) * np.clip(1.6 * patch.cover - 0.5, 0, 1)
    thickness = np.clip(clod + 0.35, 0, 1.6)
    honey = _CLEFT + (_HONEY - _CLEFT) * np.clip(0.8 * thickness, 0, 1)
    canvas.paint(honey, 0.85 * mask, patch.where)
    canvas.height[patch.where] += 0.55 * thickness * mask
    canvas.gloss[patch.where] += 0.25 * mask


def _warty(canvas: Canvas, patch: Patch, rng: np.random.Generator) -> None:
    """A cauliflower of small domes with dark clefts."""
    shape = patch.cover.shape
    # |noise| makes round tops that meet in sharp clefts.
    bump = np.clip(np.abs(smooth_noise(rng, shape, 1.1 * patch.grain)), 0, 1.3)
    body = np.clip(1.4 * patch.cover - 0.2, 0, 1)
    canvas.height[patch.where] += 0.6 * bump * body
    cleft = np.clip(1 - 2.5 * bump, 0, 1) * body
    canvas.paint(_SOOT, 0.75 * cleft, patch.where)
    top = np.clip(bump - 0.5, 0, 1) * body
    canvas.paint(rgb(250, 244, 232), 0.4 * top, patch.where)


def _ulcerated(canvas: Canvas, patch: Patch, rng: np.random.Generator) -> None:
    """A raw, wet crater in the middle: dark red ground, yellow slough, a steep edge."""
    shape = patch.cover.shape
    rho = np.sqrt(patch.u**2 + patch.v**2)
    rho = rho + 0.1 * smooth_noise(rng, shape, 0.35 * patch.radius * patch.grain)
    crater = np.clip((0.6 - rho) * patch.radius / 0.35 + 0.5, 0, 1) * np.clip(
        2 * canvas.skin[patch.where], 0, 1
    )
    slough = np.clip(1.1 * (smooth_noise(rng, shape, 1.0 * patch.grain) - 0.4), 0, 0.9)
    ground = _RAW + (_SLOUGH - _RAW) * slough
    canvas.paint(ground, 0.95 * crater, patch.where)
    canvas.height[patch.where] -= max(0.8, 0.22 * patch.radius) * crater
    canvas.gloss[patch.where] += 0.5 * crater


def _shiny(canvas: Canvas, patch: Patch, rng: np.random.Generator) -> None:
    """A taut, waxy surface: a window-shaped reflection and small glints."""
    body = np.clip(patch.depth / (0.25 * patch.radius), 0, 1) * patch.cover
    window = np.exp(-(((patch.u + 0.28) / 0.34) ** 4) - ((patch.v + 0.34) / 0.16) ** 4)
    glints = smooth_noise(rng, patch.cover.shape, 0.8 * patch.grain)
    glints = np.clip(2 * (glints - 1.1), 0, 1)
    canvas.paint(rgb(255, 255, 255), (0.1 + 0.75 * np.maximum(window, glints)) * body, patch.where)
    canvas.gloss[patch.where] += 0.7 * body


SURFACES = {
    "smooth": _smooth,
    "scaly": _scaly,
    "crusted": _crusted,
    "warty": _warty,
    "ulcerated": _ulcerated,
    "shiny": _shiny,
}
