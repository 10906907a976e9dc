"""Policy updates: parts of a batch, several optimizer steps, and what must not teach."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_model import SHALLOW, copied, random_inputs, spread_model

from skinflow_jax.models.vlm import DEFAULT_COMPUTE, ComputeConfig
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.rl.sampler import Rollout
from skinflow_jax.rl.update import PolicyBatch, fixed_log_probs, mini_batch, policy_update
from skinflow_jax.training.gradients import joined_parts, strided_parts
from skinflow_jax.training.state import create_state

PROMPTS, GROUP, LENGTH = 4, 2, 6
# A momentum of zero leaves the gradient itself in the optimizer's state.
SGD = optax.sgd(0.05, momentum=0.0)
DAPO = PolicyLossConfig("dapo", sampler_cap=None)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    return spread_model(SHALLOW)


@pytest.fixture(scope="module")
def batch():
    grids = [(4, 4), (6, 8), (2, 6), (8, 8)]
    inputs = random_inputs([[g] for g in grids], SHALLOW, length=32, windows=2)
    rng = np.random.default_rng(0)
    lengths = np.array([[1, 6], [3, 2], [6, 6], [4, 1]])
    rollout = Rollout(
        tokens=rng.integers(0, 1000, (PROMPTS, GROUP, LENGTH)).astype(np.int32),
        mask=np.arange(LENGTH) < lengths[..., None],
        log_probs=np.full((PROMPTS, GROUP, LENGTH), -6.9, np.float32),
        terminated=lengths < LENGTH,
    )
    advantages = rng.normal(size=(PROMPTS, GROUP)).astype(np.float32)
    return PolicyBatch(inputs, rollout, advantages)


def settings(**options):
    options = {"loss": PolicyLossConfig(sampler_cap=None)} | options
    return GrpoConfig(group_size=GROUP, max_tokens=LENGTH, rewards=("caption",), **options)


def update(model, batch, config, micro_batches=1, **options):
    state = create_state(copied(model), SGD)
    return update_state(state, batch, config, micro_batches, **options)


def update_state(state, batch, config, micro_batches=1, compute=DEFAULT_COMPUTE):
    return policy_update(
        state,
        batch,
        optimizer=SGD,
        config=config,
        compute=compute,
        micro_batches=micro_batches,
    )


def old_log_probs(model, batch, micro_batches=1, temperature=1.0):
    return fixed_log_probs(
        model,
        batch.inputs,
        batch.rollout,
        temperature=temperature,
        compute=DEFAULT_COMPUTE,
        micro_batches=micro_batches,
    )


def gradients(state):
    return [np.asarray(x) for x in jax.tree.leaves(state.opt_state[0].trace)]


def assert_close(found, expected, tolerance=1e-5):
    """Relative to the largest number of each tensor: round-off of sums in another order."""
    for a, b in zip(*(map(np.asarray, arrays) for arrays in (found, expected)), strict=True):
        scale = max(float(np.abs(b).max()), 1e-6)
        np.testing.assert_allclose(a / scale, b / scale, atol=tolerance)


def test_four_micro_batches_are_one(model, batch):
    """By a mean over tokens, of which the parts have 7, 5, 12 and 5: a mean of means is another."""
    config = settings(loss=DAPO)
    whole, figures = update(model, batch, config)
    parts, again = update(model, batch, config, micro_batches=4)
    assert max(float(np.abs(g).max()) for g in gradients(whole)) > 1e-3
    assert_close(gradients(parts), gradients(whole))
    assert float(again["loss"]) == pytest.approx(float(figures["loss"]), abs=1e-6)


def test_mini_batches_are_cut_into_micro_batches(model, batch):
    batch = dataclasses.replace(batch, old=old_log_probs(model, batch, micro_batches=2))
    config = settings(loss=DAPO, mini_batches=2)
    whole, figures = update(model, batch, config)
    parts, again = update(model, batch, config, micro_batches=2)
    assert_close(jax.tree.leaves(parts.model), jax.tree.leaves(whole.model))
    assert float(again["loss"]) == pytest.approx(float(figures["loss"]), abs=1e-6)


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_what_is_made_again_backwards_changes_nothing(model, batch, remat):
    kept, figures = update(model, batch, settings())
    again, found = update(model, batch, settings(), compute=ComputeConfig(remat=remat))
    assert_close(gradients(again), gradients(kept))
    assert float(found["loss"]) == pytest.approx(float(figures["loss"]), abs=1e-6)


def test_the_state_before_is_given_up_to_the_one_after(model, batch):
    state = create_state(copied(model), SGD)
    update_state(state, batch, settings())
    assert all(x.is_deleted() for x in jax.tree.leaves(state.model))


def test_two_mini_batches_are_two_updates_one_after_the_other(model, batch):
    """The second half is compared with the policy that sampled it, which is the old one."""
    batch = dataclasses.replace(batch, old=old_log_probs(model, batch, micro_batches=2))
    both, figures = update(model, batch, settings(loss=DAPO, mini_batches=2))
    halves = [mini_batch(batch, m, of=2) for m in range(2)]
    state, first = update(model, halves[0], settings(loss=DAPO))
    state, second = update(state.model, halves[1], settings(loss=DAPO))
    assert_close(jax.tree.leaves(both.model), jax.tree.leaves(state.model))
    assert int(both.step) == 1
    for name in ("loss", "entropy", "grad_norm"):
        mean = (float(first[name]) + float(second[name])) / 2
        assert float(figures[name]) == pytest.approx(mean, rel=1e-4)


def test_after_a_step_that_is_not_finite_none_is_taken_and_it_can_be_made_again(model, batch):
    """The third of four updates has a NaN: the state is the one that two had left."""
    old = old_log_probs(model, batch)
    batch = dataclasses.replace(batch, old=old)
    place = mini_batch(jnp.arange(len(old)), 2, of=4)[0]
    advantages = jnp.array(batch.advantages).at[place].set(jnp.nan)
    broken = dataclasses.replace(batch, advantages=advantages)
    state, figures = update(model, broken, settings(mini_batches=4))
    assert not np.isfinite(figures["loss"]) and figures["optimizer_steps"] == 2

    expected, taken = update(model, mini_batch(broken, 0, of=4), settings())
    expected, _ = update(expected.model, mini_batch(broken, 1, of=4), settings())
    assert taken["optimizer_steps"] == 1
    assert_close(jax.tree.leaves(state.model), jax.tree.leaves(expected.model))
    before = jax.tree.map(np.array, state.model)
    again, figures = update(state.model, mini_batch(broken, 2, of=4), settings())
    assert not np.isfinite(figures["loss"]) and figures["optimizer_steps"] == 0
    for found, kept in zip(*map(jax.tree.leaves, (again.model, before)), strict=True):
        np.testing.assert_array_equal(found, kept)


def test_a_loss_that_is_not_finite_is_not_learned_from_though_its_gradient_is(model, batch):
    """The square of a difference overflows before its derivative, the difference, does."""
    loss = PolicyLossConfig(kl_coef=1e-6, kl_estimator="k2")
    reference = jnp.where(batch.rollout.mask, -3e19, 0.0)
    broken = dataclasses.replace(batch, reference=reference)
    before = jax.tree.map(np.array, model)
    state, figures = update(model, broken, settings(loss=loss))
    assert np.isposinf(figures["loss"]) and np.isfinite(figures["grad_norm"])
    assert figures["optimizer_steps"] == 0
    for found, kept in zip(*map(jax.tree.leaves, (state.model, before)), strict=True):
        np.testing.assert_array_equal(found, kept)


def test_a_second_iteration_sees_ratios_that_are_no_longer_one(model, batch):
    batch = dataclasses.replace(batch, old=old_log_probs(model, batch))
    _, once = update(model, batch, settings())
    state, twice = update(model, batch, settings(num_iterations=2))
    assert once["clip_ratio/region_mean"] == 0 and twice["clip_ratio/region_mean"] > 0
    other, _ = update(model, batch, settings())
    leaves = [map(np.asarray, jax.tree.leaves(s.model)) for s in (state, other)]
    assert max(float(np.abs(a - b).max()) for a, b in zip(*leaves, strict=True)) > 1e-3


def test_old_log_probs_in_parts_are_those_of_the_whole(model, batch):
    one, four = (old_log_probs(model, batch, parts, temperature=0.7) for parts in (1, 4))
    np.testing.assert_allclose(one, four, atol=1e-5)


def test_truncated_completions_teach_nothing_when_masked(model, batch):
    """Their tokens can be anything: the gradient does not see them, but their rows count."""
    config = settings(mask_truncated=True)
    state, _ = update(model, batch, config)
    cut = ~batch.rollout.terminated
    assert cut.any() and not cut.all()
    tokens = np.where(cut[..., None], 7, batch.rollout.tokens)
    other = dataclasses.replace(batch, rollout=dataclasses.replace(batch.rollout, tokens=tokens))
    again, _ = update(model, other, config)
    assert_close(gradients(again), gradients(state))
    free, _ = update(model, other, settings())
    kept, _ = update(model, batch, settings())
    with pytest.raises(AssertionError):
        assert_close(gradients(free), gradients(kept))


def test_parts_joined_again_are_the_batch():
    x = np.arange(24).reshape(12, 2)
    np.testing.assert_array_equal(joined_parts(strided_parts(x, 3)), x)
