"""The vision tower sees each image by itself."""

import jax
import numpy as np
import pytest
from random_model import SHALLOW, random_inputs, spread_model

ROWS = [[(6, 10), (4, 4)], [(4, 4), (10, 2)], [(8, 8), (2, 6)]]


@pytest.fixture(scope="module")
def model():
    return spread_model(SHALLOW)


@jax.jit
def features_of(model, patches, mask, positions):
    return model.vision(patches, mask, positions)


def images_of(inputs):
    """Patches, mask and positions with all images of the batch in one list, as the model has it."""
    fields = (inputs.patches, inputs.patch_mask, inputs.patch_positions)
    return [x.reshape(-1, *x.shape[2:]) for x in fields]


@pytest.mark.parametrize("seed", range(2))
def test_images_of_a_batch_never_influence_one_another(model, seed):
    images = images_of(random_inputs(ROWS, SHALLOW, windows=4))
    expected = np.asarray(features_of(model, *images))
    others = images_of(random_inputs(ROWS[::-1], SHALLOW, seed=seed + 1, windows=4))
    others[0][others[1]] *= [np.nan, 1e3][seed]
    for kept in range(len(expected)):
        pairs = zip(images, others, strict=True)
        mixed = [np.where(is_row(kept, x), x, other) for x, other in pairs]
        found = np.asarray(features_of(model, *mixed))
        np.testing.assert_array_equal(found[kept], expected[kept])
        changed = np.delete(found != expected, kept, axis=0)
        assert changed.any(axis=(1, 2)).all(), "the other images were not changed at all"


def is_row(kept, x):
    return (np.arange(len(x)) == kept).reshape(-1, *[1] * (x.ndim - 1))


def test_the_place_of_an_image_in_the_batch_does_not_matter(model):
    images = images_of(random_inputs(ROWS, SHALLOW, windows=4))
    order = np.array([4, 2, 0, 5, 1, 3])
    expected = np.asarray(features_of(model, *images))[order]
    found = np.asarray(features_of(model, *[x[order] for x in images]))
    np.testing.assert_array_equal(found, expected)
