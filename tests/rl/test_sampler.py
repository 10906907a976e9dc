"""The sampler draws from the policy, reproducibly, row by row, and stops where it should."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, random_inputs, spread_model

from skinflow_jax.models.decoder import Decoder
from skinflow_jax.models.log_probs import token_log_probs
from skinflow_jax.models.vlm import completion_states, prefill
from skinflow_jax.rl.compaction import bucket_sizes
from skinflow_jax.rl.sampler import decode, decode_chunk, prefill_prompts, rollout_weights, sample
from skinflow_jax.rl.token_choice import make_sampling

KEY, GROUP, LENGTH = jax.random.key(5), 3, 10
ROWS = [[(6, 10)], [(4, 4), (10, 2)], []]
STATIC = {"length": 48, "windows": 2, "images": 2}


@pytest.fixture(scope="module")
def model():
    return spread_model(ending(range(0, 1024, 8)))


def ending(ids):
    """SHALLOW with other end tokens: a random model ends often only if many tokens end it."""
    return dataclasses.replace(SHALLOW, eos_token_ids=tuple(ids))


@pytest.fixture(scope="module")
def inputs():
    return random_inputs(ROWS, **STATIC)


def draw(model, inputs, temperature=0.8, *, key=KEY, rows=(0, 1, 2), sampling=None, **shape):
    shape = {"group_size": GROUP, "max_tokens": LENGTH} | shape
    sampling = sampling or make_sampling(temperature)
    rollout = sample(model, inputs, key, jnp.array(rows), sampling, **shape)
    return jax.tree.map(np.asarray, rollout)


@jax.jit
def learner(model, inputs, tokens, temperature):
    states = completion_states(model, prefill(model, inputs), tokens)
    logits = model.decoder.logits(states)
    return token_log_probs(model, states, tokens, temperature)[0], jnp.argmax(logits, axis=-1)


@pytest.fixture(scope="module")
def rollout(model, inputs):
    return draw(model, inputs)


def test_log_probs_of_the_sampler_equal_the_learners(model, inputs, rollout):
    expected, _ = learner(model, inputs, rollout.tokens, 0.8)
    assert rollout.mask.sum() > 20
    np.testing.assert_allclose(rollout.log_probs, np.where(rollout.mask, expected, 0), atol=1e-4)


def test_temperature_zero_takes_the_likeliest_token(model, inputs):
    rollout = draw(model, inputs, 0.0)
    log_probs, likeliest = learner(model, inputs, rollout.tokens, 1.0)
    mask = rollout.mask
    np.testing.assert_array_equal(rollout.tokens[mask], np.asarray(likeliest)[mask])
    np.testing.assert_allclose(rollout.log_probs[mask], np.asarray(log_probs)[mask], atol=1e-4)
    assert (rollout.tokens == rollout.tokens[:, :1]).all()


def test_the_same_key_draws_the_same_tokens_and_another_key_others(model, inputs, rollout):
    again, other = draw(model, inputs), draw(model, inputs, key=jax.random.key(6))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(rollout), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (other.tokens != rollout.tokens).any(axis=-1).all()


def test_rows_of_a_group_differ_from_one_another(rollout):
    first, second, third = np.moveaxis(rollout.tokens[:, :, 0], 1, 0)
    assert (first != second).any() and (second != third).any() and (first != third).any()


def test_what_a_row_draws_does_not_depend_on_the_batch_around_it(model, inputs, rollout):
    alone = draw(model, jax.tree.map(lambda x: x[1:2], inputs), rows=(1,))
    np.testing.assert_array_equal(alone.tokens[0], rollout.tokens[1])
    np.testing.assert_array_equal(alone.mask[0], rollout.mask[1])
    order = np.array([2, 0, 1])
    moved = draw(model, jax.tree.map(lambda x: x[order], inputs), rows=order)
    np.testing.assert_array_equal(moved.tokens, rollout.tokens[order])


def test_the_same_prompt_draws_differently_under_another_row_number(model, inputs):
    same = draw(model, jax.tree.map(lambda x: x[[1, 1, 1]], inputs), rows=(4, 5, 4))
    assert (same.tokens[0] != same.tokens[1]).any(axis=-1).all()
    np.testing.assert_array_equal(same.tokens[0], same.tokens[2])


def test_nothing_follows_the_end_token_and_only_ended_rows_are_terminated(model, rollout):
    ends = np.isin(rollout.tokens, model.config.eos_token_ids) & rollout.mask
    lengths = rollout.mask.sum(axis=-1)
    np.testing.assert_array_equal(rollout.mask, np.arange(LENGTH) < lengths[..., None])
    np.testing.assert_array_equal(rollout.terminated, ends.any(axis=-1))
    assert rollout.terminated.any() and not rollout.terminated.all()
    assert (ends.sum(axis=-1) <= 1).all()
    last = np.take_along_axis(ends, lengths[..., None] - 1, axis=-1)[..., 0]
    np.testing.assert_array_equal(last, rollout.terminated)
    assert (lengths[~rollout.terminated] == LENGTH).all()
    assert (rollout.tokens[~rollout.mask] == model.config.pad_token_id).all()
    assert (rollout.log_probs[~rollout.mask] == 0).all()


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(range(0, 1024, 2), id="soon"),
        pytest.param(range(1024), id="at_once", marks=pytest.mark.slow),
    ],
)
def test_sampling_stops_when_every_row_has_ended(inputs, monkeypatch, ends):
    steps, decode = [], Decoder.decode

    @functools.wraps(decode)
    def counted(*arguments):
        jax.debug.callback(lambda: steps.append(1))
        return decode(*arguments)

    monkeypatch.setattr(Decoder, "decode", counted)
    # A length of its own, so that no function compiled without the count is reused.
    rollout = draw(spread_model(ending(ends)), inputs, max_tokens=17)
    jax.effects_barrier()
    assert rollout.terminated.all()
    assert len(steps) == rollout.mask.sum(axis=-1).max() < 17


def test_other_settings_of_the_draw_do_not_recompile(model, inputs):
    draw(model, inputs)
    compiled = decode_chunk._cache_size()
    for settings in (
        {"temperature": 0.0},
        {"temperature": 1.3, "top_k": 7},
        {"top_p": 0.5, "min_tokens": 3},
        {"stop_ids": (5, 6)},
    ):
        draw(model, inputs, sampling=make_sampling(**settings))
    assert decode_chunk._cache_size() == compiled


def test_no_row_ends_before_min_tokens(model, inputs):
    free = draw(model, inputs, 1.0, group_size=12)
    assert free.mask.sum(axis=-1).min() < 4
    rollout = draw(model, inputs, sampling=make_sampling(min_tokens=4), group_size=12)
    assert rollout.mask.sum(axis=-1).min() >= 4 and rollout.terminated.any()
    early = np.isin(rollout.tokens[:, :, :3], model.config.eos_token_ids)
    assert not early.any()


def test_a_stop_token_ends_a_row_like_an_end_token(inputs):
    model = spread_model(ending([1023]))
    free = draw(model, inputs)
    stop = int(free.tokens[0, 0, 3])
    assert stop not in free.tokens[0, 0, :3]
    stopped = draw(model, inputs, sampling=make_sampling(0.8, stop_ids=(stop,)))
    np.testing.assert_array_equal(stopped.tokens[0, 0, :4], free.tokens[0, 0, :4])
    assert stopped.terminated[0, 0] and stopped.mask[0, 0].sum() == 4


def drawn_in_chunks(model, inputs, chunk, between=lambda: None, compactions=0):
    weights = rollout_weights(model)
    rollout = decode(
        weights,
        prefill_prompts(weights, inputs),
        KEY,
        jnp.arange(3),
        make_sampling(0.8),
        group_size=8,
        max_tokens=24,
        compactions=compactions,
        chunk=chunk,
        between=between,
    )
    return jax.tree.map(np.asarray, rollout)


@pytest.mark.slow
@pytest.mark.parametrize("compactions", [0, 4])
def test_chunks_of_any_length_draw_the_same(inputs, compactions):
    model = spread_model(ending(range(0, 1024, 4)))
    whole = drawn_in_chunks(model, inputs, 24)
    assert len(np.unique(whole.mask.sum(axis=-1))) > 5
    for chunk in (1, 5, 7):
        seen = []
        parts = drawn_in_chunks(model, inputs, chunk, lambda: seen.append(1), compactions)  # noqa: B023
        np.testing.assert_array_equal(parts.tokens, whole.tokens)
        np.testing.assert_array_equal(parts.mask, whole.mask)
        np.testing.assert_array_equal(parts.terminated, whole.terminated)
        np.testing.assert_allclose(parts.log_probs, whole.log_probs, atol=1e-5)
        assert len(seen) == -(-whole.mask.sum(axis=-1).max() // chunk)


def test_decoding_is_given_up_between_two_chunks(model, inputs):
    class GivenUp(Exception):
        pass

    def third_time(seen=[]):  # noqa: B006
        seen.append(1)
        if len(seen) == 3:
            raise GivenUp

    with pytest.raises(GivenUp):
        drawn_in_chunks(model, inputs, 2, third_time)


@pytest.mark.slow
@pytest.mark.parametrize("compactions", [1, 2, 4])
def test_shrinking_as_rows_end_changes_no_token(inputs, compactions):
    model = spread_model(ending(range(0, 1024, 4)))
    shape = {"group_size": 8, "max_tokens": 24}
    plain = draw(model, inputs, **shape)
    lengths = plain.mask.sum(axis=-1)
    # Rows end at many places, or the claim would be empty.
    assert len(np.unique(lengths)) > 5
    shrunk = draw(model, inputs, **shape, compactions=compactions)
    np.testing.assert_array_equal(shrunk.tokens, plain.tokens)
    np.testing.assert_array_equal(shrunk.mask, plain.mask)
    np.testing.assert_array_equal(shrunk.terminated, plain.terminated)
    np.testing.assert_allclose(shrunk.log_probs, plain.log_probs, atol=1e-5)


@pytest.mark.slow
def test_ended_rows_are_not_computed_on(inputs, monkeypatch):
    rows, decode_rows = [], Decoder.decode

    @functools.wraps(decode_rows)
    def counted(self, layers, x, *arguments):
        jax.debug.callback(lambda size: rows.append(int(size)), x.shape[0] * x.shape[1])
        return decode_rows(self, layers, x, *arguments)

    monkeypatch.setattr(Decoder, "decode", counted)
    model = spread_model(ending(range(0, 1024, 4)))
    rollout = draw(model, inputs, group_size=8, max_tokens=25, compactions=4)
    jax.effects_barrier()
    live = [int((rollout.mask.sum(axis=-1) > t).sum()) for t in range(25)]
    assert set(rows) <= {24, 12, 6, 2} and len(rows) == sum(count > 0 for count in live)
    assert all(size >= count for size, count in zip(rows, live, strict=False))
    assert sum(rows) < 0.7 * 24 * len(rows)


def test_bucket_sizes_halve_groups_then_the_prompts_of_each_device():
    assert bucket_sizes(3, 8, 1, 4) == [(3, 8), (3, 4), (3, 2), (1, 2)]
    assert bucket_sizes(8, 4, 4, 9) == [(8, 4), (8, 2), (4, 2)]
    assert bucket_sizes(64, 1, 1, 2) == [(64, 1), (32, 1), (16, 1)]
    assert bucket_sizes(2, 8, 1, 0) == [(2, 8)]


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_first_tokens_are_drawn_with_the_policys_own_frequencies(model, inputs, temperature):
    prompt = jax.tree.map(lambda x: jnp.asarray(x[:1]), inputs)
    count = 4096
    rollout = draw(model, prompt, temperature, rows=(0,), group_size=count, max_tokens=1)
    logits = model.decoder.logits(prefill(model, prompt).last_hidden)[0]
    expected = np.asarray(jax.nn.softmax(logits / temperature)) * count
    found = np.bincount(rollout.tokens.ravel(), minlength=1024)
    common = expected > 8
    assert common.sum() > 50
    chi_square = ((found - expected)[common] ** 2 / expected[common]).sum()
    # Mean n and variance 2n: five standard deviations of a right sampler.
    assert abs(chi_square - common.sum()) < 5 * np.sqrt(2 * common.sum())
