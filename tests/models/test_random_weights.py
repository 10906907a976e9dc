"""Random weights in another type are the same ones, rounded."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from random_model import SHALLOW

from skinflow_jax.models.config import DveConfig
from skinflow_jax.models.vlm import init_model

DYNAMIC = dataclasses.replace(
    SHALLOW, vision=dataclasses.replace(SHALLOW.vision, dve=DveConfig(groups=64))
)


def test_in_bfloat16_they_are_those_of_float32_but_for_what_is_read_in_float32():
    whole, half = init_model(DYNAMIC, seed=3), init_model(DYNAMIC, seed=3, dtype="bfloat16")
    assert jax.tree.structure(whole) == jax.tree.structure(half)
    pairs = list(zip(jax.tree.leaves(whole), jax.tree.leaves(half), strict=True))
    assert {b.dtype for _, b in pairs} == {jnp.dtype("float32"), jnp.dtype("bfloat16")}
    assert all(a.dtype == jnp.float32 for a, _ in pairs)
    for a, b in pairs:
        np.testing.assert_allclose(a, b.astype(jnp.float32), rtol=2**-8)
