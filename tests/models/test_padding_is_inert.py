"""What stands in a pad never matters: not one bit of logits, log-probabilities or gradients."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, random_completions, random_inputs, spread_model

from skinflow_jax.models.log_probs import token_log_probs
from skinflow_jax.models.vlm import completion_states, prefill, prompt_states

GROUP, LENGTH = 2, 6


@pytest.fixture(scope="module")
def model():
    return spread_model(SHALLOW)


@pytest.fixture(scope="module", params=[False, True], ids=["right_padded", "left_padded"])
def inputs(request):
    rows = [[(6, 10)], [(4, 4), (10, 2)]]
    return random_inputs(rows, length=48, windows=3, images=3, left_pad=request.param)


def with_other_pads(inputs, seed):
    """The same prompts; ids, positions, slots and patches of every pad replaced, NaN among them."""
    rng = np.random.default_rng(seed)
    pad, empty = ~inputs.token_mask, ~inputs.patch_mask
    features = inputs.patches.shape[1] * inputs.patches.shape[2] // 4

    def replaced(values, where, low, high):
        return np.where(where, rng.integers(low, high, values.shape), values).astype(values.dtype)

    garbage = rng.choice([np.nan, np.inf, 1e30, -3.0], inputs.patches.shape).astype(np.float32)
    return dataclasses.replace(
        inputs,
        input_ids=replaced(inputs.input_ids, pad, 0, SHALLOW.text.vocab_size),
        positions=replaced(inputs.positions, pad[:, None], 0, 4000),
        image_slots=replaced(inputs.image_slots, pad, -1, features),
        patches=np.where(empty[..., None], garbage, inputs.patches),
        patch_positions=replaced(inputs.patch_positions, empty[..., None], 0, 99),
    )


@jax.jit
def logits_of(model, inputs):
    return model.decoder.logits(prompt_states(model, inputs)[0])


@jax.jit
def log_probs_and_gradients(model, inputs, completions, mask):
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(model):
        states = completion_states(model, prefill(model, inputs), completions)
        log_probs, entropy = token_log_probs(model, states, completions)
        kept = jnp.where(mask, log_probs + 0.1 * entropy, 0.0)
        return kept.sum(), kept

    (_, kept), gradients = loss(model)
    return kept, gradients


def test_pads_of_a_prompt_change_no_bit_of_its_logits(model, inputs):
    expected = np.asarray(logits_of(model, inputs))[inputs.token_mask]
    assert np.isfinite(expected).all() and expected.std() > 0.5
    for seed in range(3):
        found = np.asarray(logits_of(model, with_other_pads(inputs, seed)))[inputs.token_mask]
        np.testing.assert_array_equal(found, expected)


def test_pads_of_prompts_and_completions_change_no_bit_of_log_probs_and_gradients(model, inputs):
    ends = np.array([[3, 6], [1, 5]])
    mask = np.arange(LENGTH) < ends[..., None]
    completions = random_completions((2, GROUP, LENGTH))
    expected = log_probs_and_gradients(model, inputs, completions, mask)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(expected[1]))
    norms = [np.linalg.norm(g) for g in jax.tree.leaves(expected[1])]
    assert min(norms) > 0, "a parameter without gradient would prove nothing"
    for seed in range(2):
        other = np.where(mask, completions, random_completions(completions.shape, seed + 5))
        assert (other != completions).any()
        found = log_probs_and_gradients(model, with_other_pads(inputs, seed), other, mask)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_real_content_does_change_the_logits(model, inputs):
    changed = dataclasses.replace(inputs, patches=np.where(inputs.patches != 0, 0.5, 0.0))
    expected, found = logits_of(model, inputs), logits_of(model, changed)
    assert np.abs(np.asarray(expected - found))[inputs.token_mask].max() > 0.1
