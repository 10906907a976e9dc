"""A fingerprint is that of the bits, wherever they lie; any changed bit gives another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, spread_model

from skinflow_jax.models.fingerprint import _sum, model_fingerprint


@pytest.fixture(scope="module")
def model():
    return spread_model(SHALLOW)


def test_equal_models_have_equal_fingerprints_and_others_not(model):
    assert model_fingerprint(model) == model_fingerprint(spread_model(SHALLOW))
    assert model_fingerprint(model) != model_fingerprint(spread_model(SHALLOW, seed=1))
    narrow = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    assert model_fingerprint(narrow) != model_fingerprint(model)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_flipped_bit_and_every_exchange_is_seen(dtype):
    rng = np.random.default_rng(0)
    x = np.asarray(jnp.asarray(rng.normal(size=(6, 5)), dtype))
    plain = _sum(jnp.asarray(x)).tolist()
    bits = x.view(f"uint{8 * x.dtype.itemsize}")
    for place in np.ndindex(*x.shape):
        for bit in range(8 * x.dtype.itemsize):
            flipped = bits.copy()
            flipped[place] ^= flipped.dtype.type(1 << bit)
            assert _sum(jnp.asarray(flipped.view(x.dtype))).tolist() != plain
    assert _sum(jnp.asarray(x[::-1])).tolist() != plain
    assert _sum(jnp.asarray(x.T.reshape(6, 5))).tolist() != plain
