"""The vision tower sees each image by itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, TINY, random_inputs, spread_model

from skinflow_jax.models.config import DveConfig, model_config
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.vision import period_count, runs

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


PUBLISHED = model_config("qwen2_5_vl_7b").vision


@pytest.mark.parametrize(
    ("changes", "periods"),
    [
        ({}, 4),
        ({"dve": DveConfig(groups=640)}, 4),
        ({"dve": DveConfig(groups=640, blocks=(7, 23))}, 2),
        ({"dve": DveConfig(groups=640, blocks=(31,))}, 1),
        ({"full_attention_blocks": (0, 31)}, 1),
        ({"full_attention_blocks": tuple(range(32))}, 1),
    ],
)
def test_a_tower_is_compiled_once_for_blocks_that_come_again(changes, periods):
    everything = runs(dataclasses.replace(PUBLISHED, **changes))
    assert period_count(everything) == periods
    lengths = [run.stop - run.start for run in everything]
    assert [run.block for run in everything] == [0, *np.cumsum(lengths)[:-1]]
    assert sum(lengths) == PUBLISHED.depth


def test_gates_are_those_of_their_own_block_in_every_period():
    model = with_dve(spread_model(TINY), DveConfig(groups=4))
    assert period_count(runs(model.config.vision)) == 2
    kernel = model.vision.dynamic.mlp.up.group_gate.kernel
    kernel.set_value(kernel[...].at[1].set(1.0))  # of the second dynamic block alone
    images = [jnp.asarray(x) for x in images_of(random_inputs(ROWS[:1], TINY, windows=4))]
    gates = jax.jit(lambda model: model.vision.gates(*images))(model)
    assert sorted(gates) == list(TINY.vision.full_attention_blocks)
    still, moved = (gates[block]["up"]["group"] for block in sorted(gates))
    np.testing.assert_array_equal(still, np.ones_like(still))
    assert (np.asarray(moved) != 1).all()
