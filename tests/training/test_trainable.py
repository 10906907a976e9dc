"""A step moves what is trained and not a bit of the rest; a bad step moves nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_model import SHALLOW, copied, random_completions, random_inputs, spread_model

from skinflow_jax.checkpoints.run_state import named_leaves
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.lora import with_lora, without_adapters
from skinflow_jax.models.trainable import joined, trained_part
from skinflow_jax.models.vlm import DEFAULT_COMPUTE
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
from skinflow_jax.training.state import apply_gradients, create_state, is_finite
from skinflow_jax.training.supervised import supervised_update

OPTIMIZER = make_optimizer(OptimizerConfig(learning_rate=1e-2), 10)
LORA = LoraConfig(rank=2, vision=True)
INPUTS = random_inputs([[(6, 10)], [(4, 4)]], SHALLOW, length=32, windows=4, images=1)
BATCH = (INPUTS, random_completions((2, 5)), np.ones((2, 5), bool))


def of_half(half):
    model = spread_model(SHALLOW)
    model.config = dataclasses.replace(model.config, trainable=half)
    return model


def adapted(dve=None):
    model = spread_model(SHALLOW)
    return with_lora(model if dve is None else with_dve(model, dve), LORA)


def steps(model, count=2, micro_batches=1):
    batch = jax.tree.map(jnp.asarray, BATCH)
    state = create_state(copied(model), OPTIMIZER)
    for _ in range(count):
        state, metrics = supervised_update(
            state,
            batch,
            optimizer=OPTIMIZER,
            compute=DEFAULT_COMPUTE,
            micro_batches=micro_batches,
        )
        assert np.isfinite(metrics["loss"])
    return state


def moved(before, after):
    before, after = named_leaves(before), named_leaves(after)
    return {n for n in before if not np.array_equal(np.asarray(before[n]), np.asarray(after[n]))}


@pytest.mark.parametrize(
    ("make", "is_trained"),
    [
        pytest.param(adapted, lambda name: "lora_" in name, id="adapters", marks=pytest.mark.slow),
        pytest.param(
            functools.partial(adapted, DveConfig(groups=8, linears=("down",))),
            lambda name: "lora_" in name or name.startswith("vision/dynamic/mlp/down"),
            id="adapters and dynamic maps",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            functools.partial(of_half, "vision"),
            lambda name: name.startswith("vision"),
            id="vision",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            functools.partial(of_half, "language"),
            lambda name: name.startswith("decoder"),
            id="language",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_step_moves_what_is_trained_and_nothing_else(make, is_trained):
    model = make()
    names = set(named_leaves(model))
    wanted = {name for name in names if is_trained(name)}
    assert wanted and names - wanted
    state = steps(model)
    assert moved(model, state.model) == wanted
    kept = {name.split("/mu/")[1] for name in named_leaves(state.opt_state) if "/mu/" in name}
    assert kept == wanted
    sizes = sum(x.size for x in jax.tree.leaves(state.opt_state) if x.ndim)
    assert sizes == 2 * sum(x.size for x in jax.tree.leaves(trained_part(model)))


@pytest.mark.slow
def test_micro_batches_accumulate_the_trained_gradients_alone():
    whole, parts = steps(adapted()), steps(adapted(), micro_batches=2)
    for a, b in zip(jax.tree.leaves(whole.model), jax.tree.leaves(parts.model), strict=True):
        # Two steps of Adam at 1e-2: round-off of a gradient near 0 moves a weight by a fraction.
        np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_leaves_the_state_as_it_was(bad):
    @jax.jit
    def step(state, gradients):
        metrics = {"loss": 0.0, "grad_norm": optax.global_norm(gradients)}
        return apply_gradients(state, gradients, OPTIMIZER, where=is_finite(metrics))

    state = create_state(adapted(), OPTIMIZER)
    gradients = jax.tree.map(np.ones_like, trained_part(state.model))
    state = step(state, gradients)
    gradients.decoder.layers.q.lora_b[...][0, 0] = bad
    after = step(state, gradients)
    assert moved(state, after) == set()


def test_the_reference_is_the_start_and_shares_what_is_frozen():
    model = adapted(DveConfig(groups=8))
    kept = copied(trained_part(model))
    later = jax.tree.map(lambda x: np.asarray(x) + 1, trained_part(model))
    policy = joined(later, model)
    reference = joined(kept, policy)
    assert moved(reference, model) == set()
    frozen = set(named_leaves(model)) - set(named_leaves(kept))
    ours, theirs = named_leaves(reference), named_leaves(policy)
    assert frozen and all(ours[name] is theirs[name] for name in frozen)
    assert moved(without_adapters(reference), without_adapters(model)) == set()


@pytest.mark.slow
def test_everything_is_trained_unless_told_otherwise():
    model = spread_model(SHALLOW)
    assert jax.tree.structure(trained_part(model)) == jax.tree.structure(model)
    state = create_state(model, OPTIMIZER)
    gradients = jax.tree.map(np.ones_like, model)
    # Compiled whole: one by one its operations would be hundreds of programs.
    after = jax.jit(lambda *given: apply_gradients(*given, OPTIMIZER))(state, gradients)
    assert moved(state.model, after.model) == set(named_leaves(model))
