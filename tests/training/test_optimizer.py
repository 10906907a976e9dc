"""The optimizers: what they keep, that they learn, and which settings are refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.layers import Projection
from skinflow_jax.training.optimizer import OptimizerConfig, learning_rate_schedule, make_optimizer


def projection(size=256):
    return Projection(
        (size,), (size,), axes=("embed", "mlp"), bias=True, init_scale=0.1, rngs=nnx.Rngs(0)
    )


def opt_bytes(config):
    state = make_optimizer(config, 10).init(projection())
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state) if x.ndim)


def test_adamw_is_optax_adamw_state_and_all():
    config = OptimizerConfig(learning_rate=1e-2, weight_decay=0.1, clip_norm=1e9)
    ours = make_optimizer(config, 10)
    theirs = optax.chain(
        optax.clip_by_global_norm(1e9),
        optax.adamw(
            learning_rate_schedule(config, 10),
            weight_decay=0.1,
            mask=lambda params: jax.tree_util.tree_map_with_path(
                lambda path, _: "kernel" in jax.tree_util.keystr(path), params
            ),
        ),
    )
    model = projection()
    gradients = jax.tree.map(jnp.ones_like, model)
    (found, state), (expected, wanted) = (
        o.update(gradients, o.init(model), model) for o in (ours, theirs)
    )
    assert jax.tree.structure(state) == jax.tree.structure(wanted)
    for a, b in zip(
        jax.tree.leaves((found, state)), jax.tree.leaves((expected, wanted)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_bytes_kept_for_each_choice():
    parameters = 256 * 256 + 256
    assert opt_bytes(OptimizerConfig()) == 8 * parameters
    assert opt_bytes(OptimizerConfig(mu_dtype="bfloat16")) == 6 * parameters
    # A row and a column sum for the matrix, the bias whole, and placeholders of one number.
    assert opt_bytes(OptimizerConfig(name="adafactor")) == 4 * (2 * 256 + 256 + 3)


@pytest.mark.parametrize(
    "config",
    [
        OptimizerConfig(learning_rate=1e-2, weight_decay=0.0),
        OptimizerConfig(learning_rate=1e-2, weight_decay=0.0, mu_dtype="bfloat16"),
        OptimizerConfig(learning_rate=1e-2, weight_decay=0.0, name="adafactor"),
    ],
    ids=["adamw", "bfloat16", "adafactor"],
)
def test_each_fits_a_linear_map(config):
    x = jax.random.normal(jax.random.key(1), (512, 256))
    y = x @ jax.random.normal(jax.random.key(2), (256, 256)) * 0.1
    optimizer = make_optimizer(config, 200)

    def loss(model):
        return jnp.mean(jnp.square(model(x) - y))

    @jax.jit
    def step(model, state):
        updates, state = optimizer.update(jax.grad(loss)(model), state, model)
        return optax.apply_updates(model, updates), state

    model = projection()
    state, start = optimizer.init(model), loss(model)
    for _ in range(100):
        model, state = step(model, state)
    assert loss(model) < start / 20


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_decay_draws_weights_but_no_biases(name):
    optimizer = make_optimizer(OptimizerConfig(learning_rate=1e-2, weight_decay=0.5, name=name), 10)
    model = projection()
    model.bias.set_value(jnp.ones(256))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, model), optimizer.init(model), model)
    np.testing.assert_allclose(updates.kernel[...], -1e-2 * 0.5 * model.kernel[...], rtol=1e-5)
    assert not np.any(updates.bias[...])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "adam8bit"},
            "optimizer.name='adam8bit' is unknown: choose one of adamw, adafactor",
        ),
        ({"mu_dtype": "int8"}, "optimizer.mu_dtype='int8' is unknown"),
        (
            {"name": "adafactor", "mu_dtype": "bfloat16"},
            "optimizer.name=adafactor does not keep: leave it out",
        ),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        OptimizerConfig(**values)
