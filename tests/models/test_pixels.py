"""Pixels that travel as bytes are to the tower what a processor's patches are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, random_inputs, spread_model

from skinflow_jax.models.config import VisionConfig
from skinflow_jax.models.pixels import CLIP_MEAN, CLIP_STD, patch_values

VISION = SHALLOW.vision


def normalised(pixels: np.ndarray, config: VisionConfig) -> np.ndarray:
    """By NumPy in float64, both frames the same: `[..., patch_dim]`."""
    planes = pixels.reshape(*pixels.shape[:-1], 3, 1, -1) / 255
    mean, std = (np.array(x)[:, None, None] for x in (CLIP_MEAN, CLIP_STD))
    frames = np.repeat((planes - mean) / std, config.temporal_patch_size, axis=-2)
    return frames.reshape(*pixels.shape[:-1], config.patch_dim)


@pytest.fixture(scope="module")
def images():
    """uint8 pixels, mask and positions of three images."""
    inputs = random_inputs([[(6, 10)], [(4, 4)], [(8, 8)]], windows=2)
    _, mask, positions = map(jnp.asarray, inputs.images())
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (*mask.shape, VISION.patch_pixels), np.uint8), mask, positions


def test_every_value_of_every_channel_is_that_of_the_processor():
    values = np.arange(256, dtype=np.uint8)
    pixels = np.broadcast_to(values[:, None], (256, VISION.patch_pixels))
    found = jax.jit(patch_values, static_argnums=1)(pixels, VISION)
    np.testing.assert_allclose(found, normalised(pixels, VISION), rtol=0, atol=5e-7)
    assert found.dtype == jnp.float32
    floats = jnp.ones((2, 3, VISION.patch_dim))
    assert patch_values(floats, VISION) is floats


def test_features_and_gradients_are_those_of_float_patches(images):
    """Rounding of the pixels, 2e-7 of a value near 2, is all the difference."""
    pixels, mask, positions = images
    model = spread_model(SHALLOW)

    @jax.jit
    @jax.value_and_grad
    def loss(model, patches):
        return jnp.where(mask[:, ::4, None], model.vision(patches, mask, positions), 0).sum()

    value, gradient = loss(model, pixels)
    other, expected = loss(model, normalised(pixels, VISION).astype(np.float32))
    scale = abs(float(other)) + 1
    assert abs(float(value) - float(other)) < 1e-4 * scale
    kernel, wanted = (g.vision.patch_embedding.kernel[...] for g in (gradient, expected))
    size = float(jnp.abs(wanted).max())
    assert size > 0 and float(jnp.abs(kernel - wanted).max()) < 1e-4 * size


def test_bytes_of_empty_slots_change_no_bit(images):
    pixels, mask, positions = images
    model = spread_model(SHALLOW)
    features = jax.jit(lambda patches: model.vision(patches, mask, positions))
    other = np.where(mask[..., None], pixels, 255 - pixels)
    assert (other != pixels).any()
    real = mask[:, ::4]
    found, expected = features(other), features(pixels)
    np.testing.assert_array_equal(np.asarray(found)[real], np.asarray(expected)[real])
