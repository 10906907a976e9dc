"""Log-probabilities and entropy are those of float64 arithmetic, chunked or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, random_completions, spread_model

from skinflow_jax.models.log_probs import chosen_log_probs, token_log_probs

SHAPE = (2, 3, 7)
UNIT = np.finfo(np.float32).eps / 2


def round_off(model, states, entropy) -> tuple[float, float]:
    """Float32 round-off of (log-probabilities, entropies), whatever a processor adds up first.

    A float32 sum of n terms errs by about sqrt(n) units of the terms' sum of magnitudes, whatever
    the order. A logit sums `hidden_size` products; logsumexp and the entropy (near 6) then sum a
    vocabulary, of probabilities that add up to 1 and of parts that add up to the entropy. Twice
    that, since both sides that are compared are rounded.
    """
    head = np.abs(np.asarray(model.decoder.head.get_value(), np.float64))
    vocabulary, width = head.shape
    products = (np.abs(states.astype(np.float64)) @ head.T).max()
    logit = UNIT * (np.sqrt(width) * products + np.sqrt(vocabulary))
    return 2 * logit, 2 * (logit + UNIT * np.sqrt(vocabulary) * np.max(entropy))


@pytest.fixture(scope="module")
def model():
    return spread_model(SHALLOW)


@pytest.fixture(scope="module")
def states():
    values = np.random.default_rng(0).normal(size=(*SHAPE, SHALLOW.text.hidden_size))
    return values.astype(np.float32)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
def test_log_probs_and_entropy_equal_float64_arithmetic(model, states, temperature):
    tokens = random_completions(SHAPE)
    found = token_log_probs(model, jnp.asarray(states), jnp.asarray(tokens), temperature)
    logits = states.astype(np.float64) @ np.asarray(model.decoder.head.get_value(), np.float64).T
    logits /= temperature or 1.0
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.take_along_axis(log_probs, tokens[..., None], -1)[..., 0]
    entropy = -(np.exp(log_probs) * log_probs).sum(-1)
    tolerances = round_off(model, states / (temperature or 1.0), entropy)
    for values, wanted, atol in zip(found, (expected, entropy), tolerances, strict=True):
        np.testing.assert_allclose(values, wanted, atol=atol, rtol=0)


@pytest.mark.parametrize("tokens_a_chunk", [1, 3, 6])
def test_chunks_change_neither_values_nor_gradients(model, states, tokens_a_chunk):
    tokens = random_completions(SHAPE)
    budget = tokens_a_chunk * SHAPE[0] * SHAPE[1] * SHALLOW.text.vocab_size
    weights = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)

    def loss(model, states, budget):
        log_probs, entropy = token_log_probs(model, states, tokens, 0.9, logits_budget=budget)
        return (log_probs * weights + entropy).sum(), (log_probs, entropy)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True), static_argnums=2)
    (_, whole), whole_gradients = run(model, states, 2**30)
    (_, parts), part_gradients = run(model, states, budget)
    assert np.abs(whole_gradients[0].decoder.head.get_value()).max() > 0
    tolerances = round_off(model, states / 0.9, whole[1])
    assert max(tolerances) < 1e-4  # logits have a spread of 1: a wrong chunk differs by that
    for a, b, atol in zip(parts, whole, tolerances, strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=0)
    for a, b in zip(*map(jax.tree.leaves, (part_gradients, whole_gradients)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)


def test_huge_logits_give_no_nan():
    logits = np.array([[3e4, -3e4, 0.0]], np.float32)
    log_prob, entropy = chosen_log_probs(logits, np.array([0]), 1.0)
    assert log_prob == 0 and entropy == 0
