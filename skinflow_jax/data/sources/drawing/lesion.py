"""One lesion: outline, relief, colour and border; its surface is laid on afterwards."""

import math
from dataclasses import dataclass

import numpy as np

from skinflow_jax.data.sources.drawing.arrangement import Place
from skinflow_jax.data.sources.drawing.canvas import Canvas, Patch, rgb, smooth_noise
from skinflow_jax.data.sources.drawing.surface import SURFACES

_COLOURS = {
    "red": rgb(182, 46, 42),
    "pink": rgb(230, 122, 134),
    "black": rgb(26, 22, 24),
    "white": rgb(243, 239, 233),
    "yellow": rgb(228, 192, 78),
    "purple": rgb(128, 56, 128),
    "blue": rgb(58, 80, 158),
    "grey": rgb(132, 132, 136),
}
_FLARE = rgb(205, 70, 66)
_ASPECT = {"oval": 0.58, "linear": 0.24}


@dataclass(frozen=True)
class Look:
    """The attributes that every lesion of a case shares, in the caption's vocabulary."""

    lesion_type: str
    colours: tuple[str, ...]
    shape: str
    border: str
    surfaces: tuple[str, ...]


def named_colour(name: str, tone: np.ndarray) -> np.ndarray:
    """sRGB [3, 1, 1] of a colour name on this skin: brown and skin-coloured follow its tone."""
    if name == "skin-coloured":
        return tone * np.array([1.03, 0.97, 0.96], np.float32)[:, None, None]
    if name == "brown":
        depth = np.clip((tone.mean() - 0.25) / 0.5, 0, 1)
        return rgb(56, 30, 15) + depth * (rgb(126, 76, 42) - rgb(56, 30, 15))
    return _COLOURS[name]


def draw_lesion(
    canvas: Canvas, place: Place, look: Look, tone: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw one lesion of this look; raises KeyError on a word outside the vocabulary."""
    patch = _outline(canvas, place, look, rng)
    if patch.cover.size == 0:
        return
    covered = canvas.lesion[patch.where]
    np.maximum(covered, patch.cover, out=covered)
    if look.lesion_type in _HALO:
        reach, strength = _HALO[look.lesion_type]
        halo = np.clip(1 + patch.depth / max(reach * patch.radius, 1.2), 0, 1)
        canvas.paint(_FLARE, strength * halo * canvas.skin[patch.where], patch.where)
    _fill(canvas, patch, look, tone, rng)
    _raise(canvas, patch, look)
    for surface in look.surfaces:
        SURFACES[surface](canvas, patch, rng)


def _outline(canvas: Canvas, place: Place, look: Look, rng: np.random.Generator) -> Patch:
    """Distance from the outline and cover, from shape and border."""
    half = place.diameter / 2
    where = canvas.window(place.x, place.y, 1.5 * half + 1.0)
    dx, dy = canvas.x[:, where[1]] - place.x, canvas.y[where[0]] - place.y
    aspect = _ASPECT.get(look.shape, 0.92)
    radius = aspect * half
    c, s = math.cos(place.angle), math.sin(place.angle)
    u, v = (c * dx + s * dy) / half, (c * dy - s * dx) / radius
    if u.size == 0:
        return Patch(where, u, v, u, u, radius, 1 / canvas.pixel_mm)
    grain = 1 / canvas.pixel_mm
    if look.shape == "polygonal":
        sides = 2 * np.pi * (np.arange(5) + 0.3) / 5
        rho = 1.1 * np.max([u * math.cos(a) + v * math.sin(a) for a in sides], 0)
    else:
        rho = np.sqrt(u * u + v * v)
    if look.shape == "irregular":
        rho = rho * (1.0 + 0.17 * smooth_noise(rng, u.shape, 0.62 * half * grain))
    if look.border == "irregular":
        jag = max(0.16 * half, 0.55) * grain
        rho = rho + np.clip(0.11 * smooth_noise(rng, u.shape, jag), -0.2, 0.28)
    depth = (1 - rho) * radius
    soft = 0.9 * radius if look.border == "ill-defined" else max(0.3, canvas.pixel_mm)
    cover = np.clip(0.5 + depth / soft, 0, 1)
    if look.shape == "annular":
        ring = 0.36 * radius
        cover = cover * np.clip(0.5 + (ring - depth) / (0.25 * radius), 0.1, 1)
        depth = np.minimum(depth, ring - depth)
    return Patch(where, u, v, depth, cover * canvas.skin[where], radius, grain)


def _fill(
    canvas: Canvas, patch: Patch, look: Look, tone: np.ndarray, rng: np.random.Generator
) -> None:
    """Colour the lesion; further colours lie in it as ragged islands."""
    shape = patch.cover.shape
    colour = np.empty((3, *shape), np.float32)
    colour[:] = named_colour(look.colours[0], tone)
    for name in look.colours[1:]:
        # The island lies to one side: about a third of the lesion, whatever the noise does.
        angle = rng.uniform(0, 2 * np.pi)
        lean = math.cos(angle) * patch.u + math.sin(angle) * patch.v
        ragged = 0.1 * smooth_noise(rng, shape, 0.5 * patch.radius * patch.grain)
        island = np.clip(7 * (lean + ragged - 0.22), 0, 1)
        colour += (named_colour(name, tone) - colour) * island
    colour *= (
        1
        + 0.04 * smooth_noise(rng, shape, 0.6 * patch.grain)
        + 0.03 * smooth_noise(rng, shape, 2.0 * patch.grain)
    )
    if look.lesion_type == "wheal":
        pale = np.clip(patch.depth / patch.radius, 0, 1)
        colour += (1 - colour) * 0.3 * pale
    if look.border == "rolled":
        pearl = _rim(patch)
        colour += (0.45 * colour + 0.55 * rgb(246, 206, 198) - colour) * 0.7 * pearl
    canvas.paint(colour, 0.94 * patch.cover, patch.where)


def _rim(patch: Patch) -> np.ndarray:
    """The roll along the edge, 1 on its crest."""
    width = max(0.13 * patch.radius, 0.45)
    return np.exp(-(((patch.depth - 1.1 * width) / width) ** 2))


def _raise(canvas: Canvas, patch: Patch, look: Look) -> None:
    """Add the relief of the lesion type and of a rolled border."""
    inside = np.clip(patch.depth, 0, patch.radius)
    height = _RELIEF[look.lesion_type](inside, patch.radius)
    if look.border == "ill-defined":
        # A border that fades has no step.
        height = height * np.clip(inside / (0.35 * patch.radius), 0, 1)
    if look.border == "rolled":
        height = height + max(0.16 * patch.radius, 0.4) * _rim(patch)
    canvas.height[patch.where] += height * canvas.skin[patch.where]
    if look.lesion_type in _BLISTERS:
        body = np.clip(inside / (0.3 * patch.radius), 0, 1) * patch.cover
        glint = np.exp(-(((patch.u + 0.3) ** 2 + (patch.v + 0.35) ** 2) / 0.03))
        canvas.paint(rgb(255, 255, 255), 0.16 * body + 0.75 * glint * body, patch.where)
        canvas.gloss[patch.where] += 0.8 * body
        if look.lesion_type == "pustule":
            head = np.clip(1.8 * (patch.depth / patch.radius - 0.4), 0, 0.85) * patch.cover
            canvas.paint(rgb(250, 240, 190), head, patch.where)


def _flat(inside: np.ndarray, radius: float) -> np.ndarray:
    return 0.0 * inside


def _dome(inside: np.ndarray, radius: float, steepness: float) -> np.ndarray:
    """Part of a ball: steep at its foot, level on top; mm."""
    return steepness * np.sqrt(np.clip(inside * (2 * radius - inside), 0, None))


def _plateau(inside: np.ndarray, height: float, shoulder: float) -> np.ndarray:
    """A level top behind a rounded shoulder of the given width; mm."""
    t = np.clip(inside / shoulder, 0, 1)
    return height * t * (2 - t)


_RELIEF = {
    "macule": _flat,
    "patch": _flat,
    "papule": lambda inside, r: _dome(inside, r, 0.42),
    "nodule": lambda inside, r: _dome(inside, r, 0.75),
    "plaque": lambda inside, r: _plateau(inside, 0.75, 1.8),
    "wheal": lambda inside, r: _plateau(inside, 1.0, 0.6 * r),
    "vesicle": lambda inside, r: _dome(inside, r, 0.6),
    "bulla": lambda inside, r: _dome(inside, r, 0.5),
    "pustule": lambda inside, r: _dome(inside, r, 0.5),
    "ulcer": lambda inside, r: -_plateau(inside, 1.1, max(0.3 * r, 0.8)),
}
_BLISTERS = ("vesicle", "bulla", "pustule")
# Reddening around the lesion: its width in radii and its strength.
_HALO = {"pustule": (1.0, 0.6), "vesicle": (0.8, 0.4), "wheal": (0.45, 0.4), "bulla": (0.25, 0.4)}
