"""Gradients of parameters are those that JAX derives, and are summed in float32."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, listening, random_completions, random_inputs, spread_model

from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.log_probs import token_log_probs
from skinflow_jax.models.products import embedded, logits_of, product, spread
from skinflow_jax.models.vlm import ComputeConfig, completion_states, prefill


def normal(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


IDS = np.array([[1, 5, 1], [0, 6, 5]])
PRODUCTS = {
    "wide kernel": (product, lambda x, k: x @ k, normal(2, 3, 4), normal(4, 9)),
    "narrow kernel": (product, lambda x, k: x @ k, normal(2, 3, 9), normal(9, 4)),
    "heads out": (product, lambda x, k: x @ k.reshape(4, 6), normal(5, 4), normal(4, 2, 3)),
    "heads in": (product, lambda x, k: x @ k.reshape(6, 4), normal(5, 6), normal(2, 3, 4)),
    "logits": (logits_of, lambda x, k: x @ k.T, normal(2, 3, 4), normal(7, 4)),
    "bias": (lambda x, b: x + spread(b, x), lambda x, b: x + b, normal(2, 3, 4, 5), normal(4, 5)),
    "scale": (lambda x, s: x * spread(s, x), lambda x, s: x * s, normal(2, 3, 4), normal(4)),
    "embedding": (
        lambda x, t: x * embedded(t, IDS, x.dtype),
        lambda x, t: x * t[IDS],
        normal(2, 3, 4),
        normal(7, 4),
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_values_and_gradients_are_those_that_jax_derives(name):
    ours, plain, x, parameter = PRODUCTS[name]
    expected, derived = jax.vjp(plain, x, parameter)
    found, backward = jax.vjp(ours, x, parameter)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    weights = np.random.default_rng(1).normal(size=found.shape).astype(np.float32)
    for a, b in zip(backward(weights), derived(weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PRODUCTS)
def test_bfloat16_activations_leave_the_sum_over_rows_exact(name):
    """Every row has the same gradient, of which bfloat16 can add up no more than a few hundred."""
    ours, _, x, parameter = PRODUCTS[name]
    rows = jnp.ones((4096, *x.shape[-parameter.ndim if name == "bias" else -1 :]), jnp.bfloat16)
    if name == "embedding":
        gradient = jax.grad(lambda t: embedded(t, jnp.zeros(4096, int), rows.dtype).sum())
        assert gradient(parameter).max() == 4096
        return
    gradient = jax.grad(lambda p: ours(rows, p).astype(jnp.float32).sum())(parameter)
    assert gradient.dtype == jnp.float32
    np.testing.assert_array_equal(gradient, 4096)


# What a gradient goes through, after it was summed over rows, on its way out of the backward pass.
TRANSPARENT = {"reshape", "transpose", "squeeze", "add_any", "sharding_constraint", "add"}


def sources(jaxpr, var):
    """The equations that make a variable, seen through what does not change its values."""
    made = next((e for e in jaxpr.eqns if any(v is var for v in e.outvars)), None)
    if made is None:
        return
    place = next(i for i, v in enumerate(made.outvars) if v is var)
    inner = made.params.get("jaxpr")
    if made.primitive.name in TRANSPARENT:
        for operand in made.invars:
            yield from sources(jaxpr, operand)
    elif inner is not None:
        inner = getattr(inner, "jaxpr", inner)
        yield from sources(inner, inner.outvars[place])
    else:
        yield made


@pytest.mark.parametrize("gates", [("input", "output", "group"), ("output",)], ids=str)
def test_no_parameters_gradient_is_made_in_bfloat16_and_cast_afterwards(gates):
    vision = dataclasses.replace(SHALLOW.vision, dve=DveConfig(blocks=(1,), groups=16, gates=gates))
    lora = LoraConfig(rank=2, vision=True)
    model = listening(spread_model(dataclasses.replace(SHALLOW, vision=vision, lora=lora)))
    inputs = jax.tree.map(jnp.asarray, random_inputs([[(4, 4)], [(2, 6)]], SHALLOW))
    completions = jnp.asarray(random_completions((2, 2, 6)))

    def loss(model):
        compute = ComputeConfig("bfloat16", "full")
        states = completion_states(model, prefill(model, inputs, compute), completions, compute)
        return token_log_probs(model, states, completions, logits_budget=6000)[0].sum()

    jaxpr = jax.make_jaxpr(jax.grad(loss))(model).jaxpr
    leaves = jax.tree_util.tree_leaves_with_path(model)
    for (path, leaf), var in zip(leaves, jaxpr.outvars, strict=True):
        found = {made.primitive.name for made in sources(jaxpr, var)}
        assert found and var.aval.dtype == leaf.dtype == jnp.float32
        assert "convert_element_type" not in found, jax.tree_util.keystr(path)
