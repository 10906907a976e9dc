"""A map over tokens lands on the pixels that the tokens see, whatever the image's proportions."""

import numpy as np
import pytest
from random_model import TINY

from skinflow_jax.data.images import patchify, resize
from skinflow_jax.evaluation.image_maps import to_image, to_tokens
from skinflow_jax.models.inputs import build_inputs

SIZES = [(61, 97), (333, 101), (97, 480), (28, 28), (113, 112), (750, 1003)]


def tokens_that_see(image, config=TINY):
    """How bright each token of an image is, `[h, w]`, by the arrays that the model is given."""
    small = resize(image, min_pixels=56 * 56, max_pixels=140 * 140)
    patches, grid = patchify(small, config.vision)
    h, w = (side // config.vision.merge_size for side in grid)
    ids = np.array([10, config.vision_start_token_id, *[config.image_token_id] * (h * w), 11])
    inputs = build_inputs([ids], [[(patches, grid)]], config)
    units = inputs.patches[0, 0].reshape(-1, config.vision.merge_unit, patches.shape[-1])
    slots = inputs.image_slots[0][inputs.image_slots[0] >= 0]
    return units.astype(float).mean(axis=(1, 2))[slots].reshape(h, w)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", [(0.1, 0.8), (0.5, 0.5), (0.85, 0.15)])
def test_a_bright_patch_of_the_original_is_found_again_on_its_pixels(size, place):
    image = np.zeros((*size, 3), np.uint8)
    top, left = (int(part * side) for part, side in zip(place, size, strict=True))
    box = tuple(
        slice(at, at + max(3, side // 12)) for at, side in zip((top, left), size, strict=True)
    )
    image[box] = 255
    seen = tokens_that_see(image)
    on_pixels = to_image(seen / seen.mean(), size)
    assert on_pixels.shape == size
    np.testing.assert_allclose(on_pixels.mean(), 1)
    brightest = np.unravel_index(seen.argmax(), seen.shape)
    alone = np.zeros(seen.shape)
    alone[brightest] = 1
    marked = to_image(alone, size) > 0.5
    assert marked[box].any(), "the token that sees most of the patch lies elsewhere"
    assert on_pixels[box].mean() > 0.6 * on_pixels.max()
    assert on_pixels[box].mean() > 5 * np.median(on_pixels)


def test_a_pixel_between_two_tokens_has_their_mean_by_area():
    np.testing.assert_allclose(to_image(np.array([[1.0, 4.0]]), (1, 3)), [[1, 2.5, 4]])
    np.testing.assert_allclose(to_image(np.array([[1.0], [4.0]]), (5, 1))[:, 0], [1, 1, 2.5, 4, 4])


def test_a_mask_is_resampled_to_tokens_by_area():
    mask = np.zeros((7, 10))
    mask[:, 7:] = 1
    np.testing.assert_allclose(to_tokens(mask, (1, 4)), [[0, 0, 0.2, 1]], atol=1e-12)
    rng = np.random.default_rng(0)
    mask = rng.random((113, 57)) < 0.2
    np.testing.assert_allclose(to_tokens(mask, (5, 9)).mean(), mask.mean())


@pytest.mark.parametrize("size", SIZES)
def test_there_and_back_nothing_is_gained_or_lost(size):
    tokens = np.random.default_rng(0).random((4, 3))
    np.testing.assert_allclose(to_image(tokens, size).mean(), tokens.mean())
    even = to_image(np.ones((4, 3)), size)
    np.testing.assert_allclose(to_tokens(even, (6, 5)), np.ones((6, 5)))
