"""Attention in pieces is attention: the same values and gradients, whatever fits at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skinflow_jax.models import attention

P, K, G, R, L, M, N, H = 2, 2, 3, 2, 10, 10, 5, 4


def arrays(seed=0):
    """Queries, own keys and values, those of the prefix, and weights of the output."""
    rng = np.random.default_rng(seed)
    shapes = [(P, K, G, R, L, H), *[(P, K, G, M, H)] * 2, *[(P, K, N, H)] * 2, (P, K, G, R, L, H)]
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def masks():
    rng = np.random.default_rng(1)
    causal = np.tril(np.ones((L, M), bool))
    keys = rng.random((P, 1, 1, 1, 1, M)) < 0.7
    rows = causal & (rng.random((P, 1, G, 1, L, M)) < 0.9)
    return {"causal": causal, "keys": keys, "rows": rows}


def value_and_gradients(mask, with_prefix):
    prefix_mask = jnp.asarray(np.arange(N) < [[3], [5]])

    def loss(q, k, v, prefix_k, prefix_v, weights):
        prefix = ((prefix_k, prefix_v), prefix_mask) if with_prefix else ()
        mixed = attention.attend(q, (k, v), jnp.asarray(mask), *prefix)
        return (mixed * weights).sum(), mixed

    # A function of its own each time: the budget is no argument, so the cache must not answer.
    return jax.jit(jax.value_and_grad(loss, argnums=range(5), has_aux=True))(*arrays())


@pytest.mark.parametrize("with_prefix", [False, True])
@pytest.mark.parametrize("mask", ["causal", "keys", "rows"])
@pytest.mark.parametrize("queries", [1, 4, 5])
def test_pieces_change_nothing(monkeypatch, queries, mask, with_prefix):
    mask = masks()[mask]
    expected = value_and_gradients(mask, with_prefix)
    keys = M + N * with_prefix
    monkeypatch.setattr(attention, "SCORES_BUDGET", queries * P * K * G * R * keys)
    found = value_and_gradients(mask, with_prefix)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_large_image_never_has_all_its_scores_in_memory(monkeypatch):
    monkeypatch.setattr(attention, "SCORES_BUDGET", 2**20)
    length, heads = 4096, 4
    q = jax.ShapeDtypeStruct((1, heads, 1, 1, length, 8), jnp.float32)
    kv = jax.ShapeDtypeStruct((1, heads, 1, length, 8), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, 1, 1, 1, 1, length), bool)

    def loss(q, k, v, mask):
        return attention.attend(q, (k, v), mask).sum()

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(q, kv, kv, mask).compile()
    all_scores = 4 * heads * length**2
    assert compiled.memory_analysis().temp_size_in_bytes < all_scores / 4
