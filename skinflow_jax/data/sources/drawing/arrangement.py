"""Where the lesions of one case lie: their sizes and places from size, distribution and number."""

from dataclasses import dataclass

import numpy as np

# The largest diameter in mm, kept clear of the borders between the classes.
DIAMETER_MM = {
    "under 5 mm": (3.2, 4.7),
    "5-10 mm": (6.0, 9.2),
    "10-20 mm": (11.0, 18.5),
    "over 20 mm": (23.0, 31.0),
}
# Fewest and most lesions: few is 2 to 5, many is more; more than 20 mm leave room for few only.
_COUNT = {
    "few": {"under 5 mm": (3, 4), "5-10 mm": (3, 4), "10-20 mm": (2, 4), "over 20 mm": (2, 2)},
    "many": {"under 5 mm": (9, 14), "5-10 mm": (7, 9), "10-20 mm": (6, 6)},
}


@dataclass(frozen=True)
class Place:
    """One lesion's centre and largest diameter in mm, and the angle of its long axis in radians."""

    x: float
    y: float
    diameter: float
    angle: float


def arrange(size: str, distribution: str, number: str, rng: np.random.Generator) -> list[Place]:
    """Places for the lesions of one case; all diameters fall in the class of `size`."""
    low, high = DIAMETER_MM[size]
    tilt = rng.uniform(0, np.pi)
    if distribution == "solitary":
        x, y = rng.uniform(-3.5, 3.5, 2).tolist()
        return [Place(x, y, rng.uniform(low, high), tilt)]
    fewest, most = _COUNT[number][size]
    count = int(rng.integers(fewest, most + 1))
    # Neighbours share the room, so they stay in the lower part of their class.
    part = 0.2 if number == "many" else 0.5
    diameters = rng.uniform(low, low + part * (high - low), count)
    centres = _CENTRES[distribution](count, diameters.mean(), tilt, rng)
    # Along a line each lesion follows it; elsewhere each lies its own way.
    turn = rng.normal(0, 0.15 if distribution == "linear" else 1.5, count)
    rows = np.column_stack([centres, diameters[: len(centres)], tilt + turn[: len(centres)]])
    return [Place(*row) for row in rows.tolist()]


def _grouped(count: int, diameter: float, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """A herd: the seeds of a sunflower, lesions nearly touching, bare skin around."""
    k = np.arange(count) + 0.5
    distance, angle = 0.56 * diameter * np.sqrt(k) * 1.1, 2.4 * k + tilt
    spread = np.stack([distance * np.cos(angle), distance * np.sin(angle)], -1)
    return spread + rng.normal(0, 0.05 * diameter, spread.shape) + rng.uniform(-3, 3, 2)


def _scattered(count: int, diameter: float, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """All over the field: random cells of a grid, jittered within them."""
    cells = int(np.ceil(np.sqrt(count + 1))) if diameter < 20 else 2
    step = 36.0 / cells
    chosen = rng.permutation(cells * cells)[:count]
    grid = np.stack([chosen % cells, chosen // cells], -1) + 0.5
    slack = max(step - diameter, 0.15 * step) / 2
    return grid * step - 18.0 + rng.uniform(-slack, slack, grid.shape)


def _linear(count: int, diameter: float, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """A string of lesions along one straight line through the field."""
    half = min(16.0, 0.62 * diameter * (count - 1))
    along = np.linspace(-half, half, count) + rng.normal(0, 0.06 * diameter, count)
    across = rng.normal(0, 0.13 * diameter, count)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    return np.stack([along, across], -1) @ turn


def _symmetric(count: int, diameter: float, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """Mirrored pairs left and right of a bare midline; an odd lesion is left out."""
    pairs = max(count // 2, 1)
    rows = (np.arange(pairs) + 0.5) / pairs * 36 - 18
    y = rows + rng.uniform(-1, 1, pairs) * (18 / pairs) * 0.25
    nearest = max(7.5, 0.55 * diameter)
    x = rng.uniform(nearest, max(nearest + 0.5, 13.0), pairs)
    return np.concatenate([np.stack([-x, y], -1), np.stack([x, y], -1)])


_CENTRES = {
    "grouped": _grouped,
    "scattered": _scattered,
    "linear": _linear,
    "symmetric": _symmetric,
}
