"""Augmentations: lesions stay in view, erythema stays red, the generator alone decides."""

import itertools

import numpy as np
import pytest

from skinflow_jax.data.augmentation import (
    AUGMENTATIONS,
    BRIGHTNESS,
    augment,
    brightness_matrix,
    colour_matrix,
)
from skinflow_jax.models.inputs import token_count, window_count

# L*, a*, b* of the inner arm, types I to VI, and how far erythema stands out: faint to strong.
SKIN = np.array(
    [[70, 9, 14], [66, 10, 17], [60, 11, 19], [53, 12, 19], [45, 12, 17], [36, 11, 13]], float
)
ERYTHEMA = {delta: np.array([-0.4 * delta, delta, 0]) for delta in (4, 8, 14)}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = np.array([0.95047, 1, 1.08883])


def to_lab(rgb):
    """CIELAB (D65) of sRGB from 0 to 255."""
    c = np.asarray(rgb) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    x, y, z = np.moveaxis(np.cbrt(linear @ XYZ.T / WHITE), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def to_rgb(lab):
    """The inverse of `to_lab`, not rounded; for colours well above black."""
    light, a, b = np.moveaxis(np.asarray(lab), -1, 0)
    y = (light + 16) / 116
    linear = (np.stack([y + a / 500, y, y - b / 200], axis=-1) ** 3 * WHITE) @ np.linalg.inv(XYZ).T
    assert linear.min() > 0.0031308
    return 255 * (1.055 * linear ** (1 / 2.4) - 0.055)


class Corner:
    """Draws the lower or upper end of each interval, as it is told."""

    def __init__(self, ends):
        self._ends = iter(ends)

    def uniform(self, low, high, size=None):
        ends = [(low, high)[next(self._ends)] for _ in range(size or 1)]
        return np.array(ends) if size else ends[0]


def picture(height=84, width=112, seed=0):
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def smooth(height=84, width=112):
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return (np.stack([rows, columns, rows * columns], axis=-1) * 200 + 20).astype(np.uint8)


@pytest.mark.parametrize("ends", itertools.product((0, 1), repeat=4))
def test_a_colour_shift_moves_a_star_by_three_at_most(ends):
    """At every corner of what is drawn; on skin of each type, plain and red."""
    for lab in (SKIN, *(SKIN + red for red in ERYTHEMA.values())):
        shift = to_lab(to_rgb(lab) @ colour_matrix(Corner(ends)).T)[:, 1] - lab[:, 1]
        assert np.abs(shift).max() <= 3


@pytest.mark.parametrize("ends", itertools.product((0, 1), repeat=4))
@pytest.mark.parametrize("bright", [0, 1])
def test_erythema_keeps_its_contrast_to_the_skin_around_it(ends, bright):
    """In a*, five to seven sixths of it, colour and brightness together."""

    matrix = brightness_matrix(Corner([bright])) @ colour_matrix(Corner(ends))
    skin = to_lab(to_rgb(SKIN) @ matrix.T)[:, 1]
    for delta, red in ERYTHEMA.items():
        contrast = (to_lab(to_rgb(SKIN + red) @ matrix.T)[:, 1] - skin) / delta
        assert contrast.min() > 5 / 6 and contrast.max() < 7 / 6


@pytest.mark.parametrize(
    ("name", "matrix"), [("colour", colour_matrix), ("brightness", brightness_matrix)]
)
def test_pixels_are_what_the_matrix_says_rounded(name, matrix):
    image = picture()
    wanted = (image @ matrix(np.random.default_rng(4)).T).clip(0, 255)
    assert np.abs(augment(image, [name], np.random.default_rng(4)) - wanted).max() < 0.501


def test_brightness_multiplies_all_channels_alike():
    flat = np.full((28, 28, 3), (200, 150, 100), np.uint8)
    factors = []
    for seed in range(50):
        pixel = augment(flat, ["brightness"], np.random.default_rng(seed))[0, 0] / (200, 150, 100)
        assert np.ptp(pixel) < 0.011, "one level of 100"
        factors.append(pixel.mean())
    assert 1 - BRIGHTNESS - 0.01 < min(factors) < 0.95 and 1.05 < max(factors) < 1.11


@pytest.mark.parametrize("names", [*([name] for name in AUGMENTATIONS), list(AUGMENTATIONS)])
def test_the_needs_of_an_image_stay(names, config):
    """It keeps its size or exchanges the sides; either needs the same windows and tokens."""
    image = smooth()
    shapes = {augment(image, names, np.random.default_rng(seed)).shape for seed in range(12)}
    assert shapes <= {(84, 112, 3), (112, 84, 3)}
    assert (len(shapes) == 2) == ("rotate90" in names)
    for grid in ((6, 8), (14, 26), (32, 4)):
        for count in (window_count, token_count):
            assert count(grid, config.vision) == count(grid[::-1], config.vision)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_generator_decides_alone_and_the_image_is_left_as_it_was(name):
    image = picture()
    before = image.copy()
    image.flags.writeable = False
    results = [augment(image, [name], np.random.default_rng(seed)) for seed in (1, 1, 2, 3, 4, 5)]
    np.testing.assert_array_equal(results[0], results[1])
    assert any(other.tobytes() != results[0].tobytes() for other in results[2:])
    np.testing.assert_array_equal(image, before)


def test_names_in_any_order_are_one_augmentation():
    names = list(AUGMENTATIONS)
    one, other = (
        augment(picture(), order, np.random.default_rng(5)) for order in (names, names[::-1])
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["flip", "rotate90"])
def test_flips_and_quarters_give_all_their_forms_and_lose_no_pixel(name):
    image = picture(28, 56)
    whole = {
        "flip": [image, image[::-1], image[:, ::-1], image[::-1, ::-1]],
        "rotate90": [np.rot90(image, k) for k in range(4)],
    }[name]
    seen = {augment(image, [name], np.random.default_rng(seed)).tobytes() for seed in range(40)}
    assert seen == {form.tobytes() for form in whole}


def test_a_rotation_shows_no_corner_without_skin():
    """What comes in is reflected: a grey image stays grey up to its corners."""
    grey = np.full((84, 140, 3), 90, np.uint8)
    for seed in range(20):
        assert (augment(grey, ["rotate"], np.random.default_rng(seed)) == 90).all()


def test_a_rotation_is_small():
    """A point at the middle of the right edge moves up or down by ten degrees at most."""
    image = np.zeros((141, 141, 3), np.uint8)
    image[68:73, 118:123] = 255
    angles = []
    for seed in range(30):
        rows, columns = np.nonzero(augment(image, ["rotate"], np.random.default_rng(seed))[..., 0])
        angles.append(np.degrees(np.arctan2(70 - rows.mean(), columns.mean() - 70)))
    assert -10.5 < min(angles) < -5 and 5 < max(angles) < 10.5


def test_a_crop_keeps_nine_tenths_of_each_side():
    """Read from coordinates painted as colours; the part has the proportions of the whole."""
    height, width = 168, 224
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)
    kept = []
    for seed in range(60):
        shown = augment(image, ["crop"], np.random.default_rng(seed)).astype(int)
        tall = (np.ptp(shown[..., 0]) + 1) / height
        wide = (np.ptp(shown[..., 1]) + 1) / width
        assert tall == pytest.approx(wide, abs=0.02)
        kept.append(tall)
    assert 0.89 < min(kept) < 0.93 and max(kept) > 0.97


@pytest.mark.parametrize(
    "box", [(0, 30, 0, 30), (60, 84, 80, 112), (10, 70, 5, 105), (40, 41, 9, 10)]
)
def test_a_crop_keeps_the_whole_lesion(box):
    """Its corners are in view; where it is small more is cut away than without a mask."""
    top, bottom, left, right = box
    mask = np.zeros((84, 112), bool)
    mask[top:bottom, left:right] = True
    rows, columns = np.mgrid[0:84, 0:112]
    image = np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8) * 2
    kept = []
    for seed in range(60):
        shown = augment(image, ["crop"], np.random.default_rng(seed), mask).astype(int)
        for channel, low, high in ((0, top, bottom), (1, left, right)):
            # A level is half a pixel; bicubic filtering may miss the extreme by one.
            assert shown[..., channel].min() <= 2 * low + 2
            assert shown[..., channel].max() >= 2 * (high - 1) - 2
        kept.append((np.ptp(shown[..., 0]) / 2 + 1) / 84)
    largest_side = max((bottom - top) / 84, (right - left) / 112)
    assert min(kept) < max(0.75, largest_side + 0.1)


def test_an_empty_mask_cuts_nothing_away():
    image = picture()
    shown = augment(image, ["crop"], np.random.default_rng(0), np.zeros((84, 112), bool))
    np.testing.assert_array_equal(shown, image)
