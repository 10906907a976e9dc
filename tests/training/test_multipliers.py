"""Groups of parameters learn faster than others, by exactly what the config says."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_model import SHALLOW, copied, random_completions, random_inputs, spread_model

from skinflow_jax.checkpoints.run_state import RunCheckpoints, named_leaves
from skinflow_jax.config import config_of, to_dict
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.lora import with_lora
from skinflow_jax.models.trainable import in_group
from skinflow_jax.models.vlm import DEFAULT_COMPUTE
from skinflow_jax.training.gate_figures import gate_findings
from skinflow_jax.training.multipliers import multiplied
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
from skinflow_jax.training.state import abstract_state, create_state
from skinflow_jax.training.supervised import supervised_update

GATE_NETWORK = ("reduce", "norm", "input_gate", "output_gate", "group_gate")


def optimizer(multipliers=None, learning_rate=1e-3, **options):
    config = OptimizerConfig(learning_rate=learning_rate, multipliers=multipliers or {}, **options)
    return make_optimizer(config, 10)


@pytest.fixture(scope="module")
def dynamic():
    return with_dve(spread_model(SHALLOW), DveConfig(groups=8, linears=("gate", "down")))


@pytest.fixture(scope="module")
def gradients(dynamic):
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), dynamic)


def moves(model, gradients, chosen):
    """What one step adds to each parameter, by name."""
    return named_leaves(
        jax.jit(lambda g, m: chosen.update(g, chosen.init(m), m)[0])(gradients, model)
    )


def gates(name):
    in_map = re.match("vision/dynamic/mlp/(gate|down)/(.*?)/", name)
    return bool(in_map) and in_map[2] in GATE_NETWORK


@pytest.mark.parametrize(
    ("group", "inside"),
    [
        ("gates", gates),
        ("dve", lambda name: re.match("vision/dynamic/mlp/(gate|down)/", name)),
        ("vision", lambda name: name.startswith("vision/")),
        ("decoder", lambda name: name.startswith("decoder/")),
        ("embedding", lambda name: name == "decoder/embedding"),
        ("*_gate/kernel", lambda name: name.endswith("_gate/kernel")),
        ("dynamic/mlp/*/reduce", lambda name: "/reduce/" in name),
        ("decoder/layers/mlp", lambda name: name.startswith("decoder/layers/mlp/")),
    ],
)
def test_a_group_is_what_it_is_called(dynamic, group, inside):
    names = set(named_leaves(dynamic))
    found = {name for name in names if in_group(dynamic.config, tuple(name.split("/")), group)}
    assert found == {name for name in names if inside(name)} and found and names - found


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_a_step_moves_a_group_m_times_as_far_and_the_rest_as_before(dynamic, gradients, name):
    plain = moves(dynamic, gradients, optimizer(name=name))
    scaled = moves(dynamic, gradients, optimizer({"gates": 32.0}, name=name))
    for path, before in plain.items():
        # A power of 2, which no order of products rounds otherwise.
        expected = before * 32 if gates(path) else before
        np.testing.assert_array_equal(scaled[path], expected, err_msg=path)
        assert np.any(before), path


def test_a_parameter_of_two_groups_has_the_product_whichever_comes_first(dynamic, gradients):
    for multipliers in ({"vision": 0.5, "gates": 8.0}, {"gates": 8.0, "vision": 0.5}):
        scaled = moves(dynamic, gradients, multiplied(optax.identity(), multipliers))
        for path, gradient in named_leaves(gradients).items():
            factor = 4 if gates(path) else 0.5 if path.startswith("vision") else 1
            np.testing.assert_array_equal(scaled[path], gradient * factor)


@pytest.mark.slow
def test_gates_that_learn_faster_spread_further_over_the_images(dynamic):
    inputs = random_inputs([[(6, 10)], [(4, 4)]], SHALLOW, length=32, windows=4, images=1)
    batch = jax.tree.map(jnp.asarray, (inputs, random_completions((2, 5)), np.ones((2, 5), bool)))

    def spread(multipliers):
        chosen = optimizer(multipliers, learning_rate=1e-4)
        state = create_state(copied(dynamic), chosen)
        state, _ = supervised_update(
            state, batch, optimizer=chosen, compute=DEFAULT_COMPUTE, micro_batches=1
        )
        figures = gate_findings(state.model, inputs, DEFAULT_COMPUTE).figures
        return np.mean([value for name, value in figures.items() if name.endswith("/spread")])

    plain = spread({})
    assert plain > 0
    # The heads start at 0: what they read is the same, and near 1 a sigmoid is linear, up to a
    # twelfth of the square of what it is given (here below 0.1).
    assert spread({"gates": 30.0}) == pytest.approx(30 * plain, rel=0.01)


@pytest.mark.parametrize(
    ("group", "nearest"),
    [
        ("visoin", "the nearest are vision"),
        ("gatess", "gates"),
        ("decoder/layer/mlp", "decoder/layers/mlp/up/kernel"),
        ("xyz", "the nearest are dve, gates, decoder, vision"),
        ("vision//mlp", "vision"),
        ("a" * 5000, "..."),
    ],
)
def test_a_group_that_names_nothing_is_refused_in_a_line_with_the_nearest(dynamic, group, nearest):
    with pytest.raises(ConfigError) as error:
        abstract_state(dynamic, optimizer({"vision": 2.0, group: 3.0}))
    message = str(error.value)
    assert "optimizer.multipliers: " in message and nearest in message
    assert "\n" not in message and len(message) < 400


def test_what_is_not_there_or_not_trained_is_no_group():
    for group in ("dve", "gates"):
        with pytest.raises(ConfigError, match=f"'{group}' names no .* trained: it is of a dynamic"):
            abstract_state(spread_model(SHALLOW), optimizer({group: 2.0}))
    adapted = with_lora(spread_model(SHALLOW), LoraConfig(rank=2))
    abstract_state(adapted, optimizer({"lora_a": 2.0}))
    with pytest.raises(ConfigError, match="'embedding' names no parameter that is trained"):
        abstract_state(adapted, optimizer({"embedding": 2.0}))


def test_a_checkpoint_of_before_goes_on_with_multipliers_and_back(dynamic, gradients, tmp_path):
    """What a run keeps has the same names and arrays with and without."""
    states = [create_state(copied(dynamic), optimizer(m)) for m in ({}, {"gates": 30.0})]
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    for number, other in ((0, 1), (1, 0)):
        with RunCheckpoints(tmp_path / str(number)) as checkpoints:
            checkpoints.save(1, states[number], facts={}, wait=True)
            restored, _, _ = checkpoints.restore(states[other])
        for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(states[number]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_multipliers_come_from_a_config_a_shell_and_json():
    given = {"multipliers": {"gates": 30, "vision": 0.5}}
    config = config_of({"optimizer": given}, {"optimizer.multipliers.decoder/layers": "2"})
    assert config.optimizer.multipliers == {"gates": 30.0, "vision": 0.5, "decoder/layers": 2.0}
    assert config_of(to_dict(config)) == config
    assert hash(config.optimizer) == hash(config_of(to_dict(config)).optimizer)


@pytest.mark.parametrize("wrong", [0, -1, 1e7, "fast", None, True])
def test_a_multiplier_is_a_number_above_0(wrong):
    with pytest.raises(ConfigError, match=r"optimizer\.multipliers\.gates="):
        OptimizerConfig(multipliers={"gates": wrong})
