"""Claims about synthetic photographs: what the caption says can be measured in the pixels."""

import colorsys

import numpy as np
import pytest

from skinflow_jax.clinical.caption_vocabulary import REGION_PARENTS, VALUES
from skinflow_jax.data.sources.drawing import draw_photograph
from skinflow_jax.data.sources.drawing.anatomy import LANDMARKS
from skinflow_jax.data.sources.drawing.arrangement import arrange

PLAIN = {
    "lesion_type": "patch",
    "colour": "brown",
    "shape": "round",
    "size": "10-20 mm",
    "border": "well-defined",
    "surface": "smooth",
    "distribution": "solitary",
    "location": "thigh",
    "number": "single",
}
SKIN_TYPES = range(1, 7)


def _draw(seed=0, fitzpatrick=3, size=112, **fields) -> np.ndarray:
    """float64 [size, size, 3] in 0..255."""
    rng = np.random.default_rng(seed)
    image = draw_photograph({**PLAIN, **fields}, fitzpatrick=fitzpatrick, size=size, rng=rng)
    return image.astype(float)


def _difference(seed=0, fitzpatrick=3, size=112, **fields) -> np.ndarray:
    """How much each pixel differs from the same skin under a lesion of its own colour, [S, S]."""
    bare = _draw(seed, fitzpatrick, size, **{**fields, "colour": "skin-coloured"})
    return np.abs(_draw(seed, fitzpatrick, size, **fields) - bare).max(-1)


def _lesion_colour(name: str, fitzpatrick: int) -> np.ndarray:
    """Mean sRGB of the lesion, found as the pixels that change with its colour."""
    image = _draw(fitzpatrick=fitzpatrick, colour=name)
    other = _draw(fitzpatrick=fitzpatrick, colour="blue" if name != "blue" else "yellow")
    return image[np.abs(image - other).max(-1) > 25].mean(0)


@pytest.mark.parametrize("fitzpatrick", SKIN_TYPES)
def test_a_colour_is_true_to_its_name_on_every_skin_type(fitzpatrick):
    mean = {n: _lesion_colour(n, fitzpatrick) for n in VALUES["colour"]}
    hue = {n: 360 * colorsys.rgb_to_hsv(*(c / 255))[0] for n, c in mean.items()}
    assert min(hue["red"], 360 - hue["red"]) < 15
    assert hue["pink"] > 335 or hue["pink"] < 12
    assert mean["pink"].mean() > mean["red"].mean() + 30
    assert 15 < hue["brown"] < 40
    assert 38 < hue["yellow"] < 60
    assert 215 < hue["blue"] < 245
    assert 280 < hue["purple"] < 325
    assert mean["black"].max() < 55
    assert mean["white"].min() > 180
    assert np.ptp(mean["grey"]) < 20
    assert np.abs(mean["brown"] - mean["black"]).max() > 20


@pytest.mark.parametrize("fitzpatrick", SKIN_TYPES)
def test_any_two_colours_differ_more_than_one_colour_does_between_pictures(fitzpatrick):
    names = VALUES["colour"]
    mean = np.stack([_lesion_colour(n, fitzpatrick) for n in names])
    apart = np.abs(mean[:, None] - mean[None]).max(-1) + 1e3 * np.eye(len(names))
    assert apart.min() > 15


def test_darker_skin_types_are_darker_in_order():
    brightness = [
        np.mean([_draw(seed, f, size=56, location="neck").mean() for seed in range(6)])
        for f in SKIN_TYPES
    ]
    assert all(a > b + 10 for a, b in zip(brightness, brightness[1:], strict=False))


@pytest.mark.parametrize(
    ("size", "low", "high"),
    [("under 5 mm", 2, 5), ("5-10 mm", 5, 10), ("10-20 mm", 10, 20), ("over 20 mm", 20, 34)],
)
def test_a_lesion_measures_what_its_size_says(size, low, high):
    for seed in range(5):
        changed = _difference(seed, size=224, **{"size": size}) > 12 if False else None
        del changed
        bare = _draw_sized(seed, size, "skin-coloured")
        changed = np.abs(_draw_sized(seed, size, "black") - bare).max(-1) > 60
        rows = np.flatnonzero(changed.any(1))
        columns = np.flatnonzero(changed.any(0))
        diameter = max(np.ptp(rows), np.ptp(columns)) * 40 / 224
        assert low <= diameter <= high
