"""Bare skin of the six Fitzpatrick types."""

import numpy as np

from skinflow_jax.data.sources.drawing.canvas import Canvas, rgb, smooth_noise

# Our choice of sRGB tones; type I burns and never tans, type VI is deeply pigmented.
TONES = {
    1: rgb(243, 214, 199),
    2: rgb(233, 196, 172),
    3: rgb(213, 168, 138),
    4: rgb(180, 131, 99),
    5: rgb(136, 93, 69),
    6: rgb(94, 65, 52),
}
_BLOOD = np.array([0.008, -0.02, -0.018], np.float32)[:, None, None]


def skin_tone(fitzpatrick: int, rng: np.random.Generator) -> np.ndarray:
    """A person's tone, float32 [3, 1, 1]: the type's own, varied in lightness and hue."""
    lightness = 1 + 0.045 * rng.uniform(-1, 1)
    hue = 0.02 * rng.uniform(-1, 1, (3, 1, 1))
    return (TONES[fitzpatrick] * (lightness + hue)).astype(np.float32)


def draw_skin(canvas: Canvas, tone: np.ndarray, rng: np.random.Generator) -> None:
    """Fill the sheet with skin: blotches of blood and melanin, and the fine relief of its lines."""
    shape, grain = canvas.height.shape, 1 / canvas.pixel_mm
    blood = smooth_noise(rng, shape, 7 * grain)
    melanin = smooth_noise(rng, shape, 3 * grain)
    fine = rng.standard_normal(shape, np.float32)
    light = 1 + 0.014 * melanin + 0.018 * fine
    canvas.colour[:] = tone * light
    canvas.colour += blood * (tone * _BLOOD)
    canvas.height += 0.009 * smooth_noise(rng, shape, 0.8 * grain)
    canvas.gloss += 0.05
