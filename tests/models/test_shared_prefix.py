"""Computing a prompt once for its group gives what running every full sequence gives."""

import functools

import jax
import numpy as np
import pytest
from random_model import SHALLOW, random_completions, random_prompt, spread_model

from skinflow_jax.models.inputs import build_inputs
from skinflow_jax.models.log_probs import token_log_probs
from skinflow_jax.models.vlm import completion_states, prefill, prompt_states

ROWS, GROUP, LENGTH, TEMPERATURE = [[(6, 10)], [(4, 4), (10, 2)], []], 2, 5, 0.8


@pytest.fixture(scope="module")
def model():
    return spread_model(SHALLOW)


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(3)
    return [random_prompt(grids, SHALLOW, rng) for grids in ROWS]


@pytest.fixture(scope="module")
def completions():
    return random_completions((len(ROWS), GROUP, LENGTH))


@pytest.fixture(scope="module")
def weights():
    """A different weight for every token, so that no two errors cancel in the gradient."""
    return np.random.default_rng(9).normal(size=(len(ROWS), GROUP, LENGTH)).astype(np.float32)


def with_gradient(log_probs_of):
    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(model, inputs, completions, weights):
        log_probs = log_probs_of(model, inputs, completions)
        return (log_probs * weights).sum(), log_probs

    return loss


@with_gradient
def shared(model, inputs, completions):
    states = completion_states(model, prefill(model, inputs), completions)
    return token_log_probs(model, states, completions, TEMPERATURE)[0]


@with_gradient
def naive(model, inputs, completions):
    """Rows of prompt and completion, right padded, prompts of G rows repeated one after another."""
    states, _ = prompt_states(model, inputs)
    first = inputs.token_mask.sum(axis=1) - LENGTH - 1
    places = first[:, None] + np.arange(LENGTH)
    states = states[np.arange(len(states))[:, None], places]
    return token_log_probs(model, states[:, None], completions, TEMPERATURE)[0]


@pytest.fixture(scope="module")
def naive_result(model, prompts, completions, weights):
    rows = [
        (np.concatenate([ids, completion]), images)
        for (ids, images), group in zip(prompts, completions, strict=True)
        for completion in group
    ]
    inputs = build_inputs([ids for ids, _ in rows], [images for _, images in rows], SHALLOW)
    flat = (-1, 1, LENGTH)
    (_, log_probs), gradients = naive(
        model, inputs, completions.reshape(flat), weights.reshape(flat)
    )
    return np.asarray(log_probs).reshape(completions.shape), gradients


@pytest.mark.parametrize("left", [False, True], ids=["right_padded", "left_padded"])
def test_shared_prefix_equals_full_sequences(
    model, prompts, completions, weights, naive_result, left
):
    inputs = build_inputs([p[0] for p in prompts], [p[1] for p in prompts], SHALLOW, left_pad=left)
    (_, log_probs), gradients = shared(model, inputs, completions, weights)
    expected, expected_gradients = naive_result
    assert expected.std() > 0.5
    np.testing.assert_allclose(np.asarray(log_probs), expected, rtol=1e-5, atol=1e-5)
    pairs = zip(
        jax.tree.leaves_with_path(gradients), jax.tree.leaves(expected_gradients), strict=True
    )
    for (path, found), reference in pairs:
        error = np.linalg.norm(found - reference) / np.linalg.norm(reference)
        assert error < 1e-5, jax.tree_util.keystr(path)


def test_each_row_of_a_group_sees_only_itself(model, prompts, completions, weights):
    inputs = build_inputs([p[0] for p in prompts], [p[1] for p in prompts], SHALLOW)
    changed = completions.copy()
    changed[:, 1] = random_completions(changed[:, 1].shape, seed=77)
    (_, expected), _ = shared(model, inputs, completions, weights)
    (_, found), _ = shared(model, inputs, changed, weights)
    np.testing.assert_array_equal(np.asarray(found[:, 0]), np.asarray(expected[:, 0]))
    assert (np.asarray(found[:, 1]) != np.asarray(expected[:, 1])).all()
