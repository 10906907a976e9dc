"""Projections joined for decoding are the projections themselves."""

import jax
import numpy as np
import pytest
from flax import nnx

from skinflow_jax.models.layers import DecodeProjection, Projection

SIZE, HEADS, HEAD = 24, 3, 8
OUTPUTS = {"q": (HEADS, 2, HEAD), "k": (HEADS, HEAD), "v": (HEADS, HEAD)}


def random_projection(inputs, outputs, seed, *, bias=False, adapted=False):
    rngs = nnx.Rngs(params=seed)
    axes = (None,) * (len(inputs) + len(outputs))
    made = Projection(inputs, outputs, axes=axes, bias=bias, init_scale=0.3, rngs=rngs)
    if adapted:
        made.add_adapter(2, 0.5, rngs=rngs)
    return jax.tree.map(lambda a: jax.random.normal(jax.random.key(a.size + seed), a.shape), made)


@pytest.mark.parametrize("adapted", [(), ("q",), ("k", "v"), ("q", "k", "v")])
def test_joined_maps_give_what_each_gives_with_biases_and_adapters(adapted):
    maps = [
        random_projection((SIZE,), outputs, seed, bias=True, adapted=name in adapted)
        for seed, (name, outputs) in enumerate(OUTPUTS.items())
    ]
    x = jax.random.normal(jax.random.key(9), (2, 5, SIZE))
    joined = DecodeProjection(maps, [(HEADS, n, HEAD) for n in (2, 1, 1)], axis=1)(x)
    assert joined.shape == (2, 5, HEADS, 4, HEAD)
    found = joined[..., :2, :], joined[..., 2, :], joined[..., 3, :]
    for projection, part in zip(maps, found, strict=True):
        np.testing.assert_allclose(part, projection(x), rtol=1e-5, atol=1e-5)


def test_several_input_axes_are_contracted_without_bias():
    projection = random_projection((HEADS, HEAD), (SIZE,), 0)
    x = jax.random.normal(jax.random.key(9), (4, 1, HEADS, HEAD))
    found = DecodeProjection([projection], [(SIZE,)])(x)
    np.testing.assert_allclose(found, projection(x), rtol=1e-5, atol=1e-5)
