"""The dynamic vision encoder: exact at conversion, one weight an image, two routes to the same."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from random_model import SHALLOW, TINY, random_inputs, spread_model

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import DveConfig, VlmConfig, model_config
from skinflow_jax.models.dve import FDLinear, bases_are_cheaper, fdlinear_from_linear, synthesise
from skinflow_jax.models.dve_conversion import describe_dve, with_dve
from skinflow_jax.models.frequency_groups import frequency_groups
from skinflow_jax.models.vlm import abstract_model, prompt_states
from skinflow_jax.typed_fields import from_dict

SIZES = [(96, 256), (256, 96), (24, 31), (17, 9)]
GROUPS = (1, 4, 64, 640)


def dynamic(dve, config=TINY):
    return dataclasses.replace(config, vision=dataclasses.replace(config.vision, dve=dve))


def moved(layer: FDLinear, seed=0) -> FDLinear:
    """The layer after something like training: every parameter, and so every gate, has moved."""
    rng = np.random.default_rng(seed)

    def move(x):
        moved = x + rng.normal(size=x.shape) * 0.3 * max(float(np.std(x)), 0.3)
        return jnp.asarray(moved, jnp.float32)

    return jax.tree.map(lambda x: move(np.asarray(x)), layer)


def random_layer(inputs, outputs, groups, seed=0):
    rng = np.random.default_rng(seed)
    kernel = jnp.asarray(rng.normal(size=(inputs, outputs)) / np.sqrt(inputs), jnp.float32)
    bias = jnp.asarray(rng.normal(size=outputs), jnp.float32)
    return converted(kernel, bias, groups, seed), kernel, bias


# Compiled whole: one by one the operations of each shape would be dozens of programs.
@functools.partial(jax.jit, static_argnums=(2, 3))
def converted(kernel, bias, groups, seed):
    return fdlinear_from_linear(kernel, bias, groups=groups, rngs=nnx.Rngs(params=seed))


@jax.jit
def applied(layer, x, mask):
    return layer(x, mask)


@jax.jit
def gates_of(layer, x, mask):
    return layer.gates(x, mask)


def random_images(inputs, lengths=(7, 5), slots=8, seed=1):
    x = np.random.default_rng(seed).normal(size=(len(lengths), slots, inputs)).astype(np.float32)
    return jnp.asarray(x), jnp.arange(slots) < jnp.array(lengths)[:, None]


def reference_layer(layer: FDLinear, tokens):
    """The layer on the tokens of one image, step by step in NumPy float64."""
    p = {
        jax.tree_util.keystr(path).removesuffix(".value"): np.asarray(leaf, np.float64)
        for path, leaf in jax.tree_util.tree_flatten_with_path(layer)[0]
    }
    inputs, outputs = layer.shape
    mean = np.asarray(tokens, np.float64).mean(axis=0)
    hidden = mean @ p[".reduce.kernel"]
    hidden = hidden / np.sqrt(np.mean(hidden**2) + 1e-6) * p[".norm.scale"]
    hidden = np.maximum(hidden, 0)

    def gate(name):
        z = hidden @ p[f".{name}_gate.kernel"] + p[f".{name}_gate.bias"]
        return 2 / (1 + np.exp(-z / layer.temperature))

    spectrum = p[".spectrum"][..., 0] + 1j * p[".spectrum"][..., 1]
    gated = spectrum * gate("group")[frequency_groups(outputs, inputs, layer.groups)]
    weight = np.fft.irfft2(gated * (min(inputs, outputs) // 2), s=(outputs, inputs))
    return (tokens * gate("input")) @ weight.T * gate("output") + p[".bias"]


@pytest.mark.slow
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
@pytest.mark.parametrize("groups", [1, 4, 64])
def test_a_trained_layer_computes_the_definition(inputs, outputs, groups):
    layer = moved(random_layer(inputs, outputs, groups)[0])
    x, mask = random_images(inputs)
    found = applied(layer, x, mask)
    for row, length in enumerate((7, 5)):
        expected = reference_layer(layer, np.asarray(x[row, :length]))
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[row, :length], expected, atol=1e-5 * scale)


@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
@pytest.mark.parametrize("groups", [1, 4, 64])
def test_a_converted_layer_equals_the_static_one(inputs, outputs, groups):
    layer, kernel, bias = random_layer(inputs, outputs, groups)
    x, mask = random_images(inputs)
    np.testing.assert_allclose(applied(layer, x, mask), x @ kernel + bias, atol=1e-5)
    gates = gates_of(layer, x, mask)
    assert {name: gate.shape[1] for name, gate in gates.items()} == {
        "input": inputs,
        "output": outputs,
        "group": groups,
    }
    assert all((gate == 1).all() for gate in gates.values())


@pytest.mark.slow
@pytest.mark.parametrize("groups", GROUPS)
def test_a_converted_model_gives_the_static_models_logits(groups):
    static = spread_model(SHALLOW)
    model = with_dve(static, DveConfig(groups=groups))
    inputs = random_inputs([[(6, 10)], [(4, 4)], []], SHALLOW, length=32, windows=4, images=1)
    difference = jnp.abs(logits_of(model, inputs) - logits_of(static, inputs))
    assert jnp.max(difference, where=inputs.token_mask[..., None], initial=0) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [(0,), (0, 1)])
def test_any_block_can_be_dynamic(blocks):
    static = spread_model(SHALLOW)
    model = with_dve(static, DveConfig(groups=4, blocks=blocks, linears=("up",)))
    inputs = random_inputs([[(6, 10)]], SHALLOW, length=32, windows=4)
    difference = jnp.abs(logits_of(model, inputs) - logits_of(static, inputs))
    assert jnp.max(difference, where=inputs.token_mask[..., None], initial=0) <= 1e-5
    rows = [jnp.asarray(x[0]) for x in tower_inputs(inputs)]
    gates = jax.jit(lambda model: model.vision.gates(*rows))(model)
    assert sorted(gates) == list(blocks)
    assert all(set(maps) == {"up"} for maps in gates.values())


@jax.jit
def logits_of(model, inputs):
    return model.decoder.logits(prompt_states(model, inputs)[0])


def bases_of(weight, groups):
    """B_k of every group: what the layer makes of the gate that lets group k alone pass."""
    outputs, inputs = weight.shape
    layer = converted(jnp.asarray(weight.T), None, groups, 0)
    make = functools.partial(synthesise, shape=(inputs, outputs), groups=groups, route="fourier")
    return np.asarray(jax.jit(make)(layer.spectrum[...], np.eye(groups, dtype=np.float32)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outputs", "inputs", "groups"),
    [(*size, k) for size in SIZES for k in GROUPS if k <= size[0] * (size[1] // 2 + 1)]
    + [(342, 128, 4), (1280, 3420, 4)],
)
def test_bases_sum_to_the_weight_and_are_orthogonal(outputs, inputs, groups):
    weight = np.random.default_rng(0).normal(size=(outputs, inputs)).astype(np.float32)
    bases = bases_of(weight, groups)
    total = bases.sum(axis=0).T
    assert np.linalg.norm(total - weight) <= 1e-5 * np.linalg.norm(weight)
    flat = bases.reshape(groups, -1).astype(np.float64)
    products = flat @ flat.T
    norms = np.sqrt(np.diag(products))
    off = np.abs(products - np.diag(np.diag(products)))
    assert off.max() <= 1e-5 * np.max(norms) ** 2


@pytest.mark.slow
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
@pytest.mark.parametrize("groups", [1, 4, 64])
def test_both_routes_make_the_same_weights_and_gradients(inputs, outputs, groups):
    spectrum = moved(random_layer(inputs, outputs, groups)[0]).spectrum[...]
    rng = np.random.default_rng(2)
    gate = jnp.asarray(rng.uniform(0, 2, (3, groups)), jnp.float32)
    weigh = jnp.asarray(rng.normal(size=(3, inputs, outputs)), jnp.float32)

    @functools.partial(jax.jit, static_argnums=2)
    @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def loss(spectrum, gate, route):
        made = synthesise(spectrum, gate, shape=(inputs, outputs), groups=groups, route=route)
        return jnp.sum(made * weigh), made

    fourier, bases = (loss(spectrum, gate, route) for route in ("fourier", "bases"))
    for one, other in zip(jax.tree.leaves(fourier), jax.tree.leaves(bases), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * float(jnp.max(jnp.abs(one))))


def test_the_cheaper_route_is_taken():
    seven_b = (1280, 3420)
    assert not bases_are_cheaper(images=16, groups=640, shape=seven_b)
    assert bases_are_cheaper(images=16, groups=4, shape=seven_b)
    assert not bases_are_cheaper(images=4, groups=4, shape=seven_b)


def test_a_batch_of_two_images_is_the_two_alone():
    layer = moved(random_layer(96, 256, 64)[0])
    x, mask = random_images(96)
    together = layer(x, mask)
    for row in range(2):
        alone = layer(x[row : row + 1], mask[row : row + 1])[0]
        np.testing.assert_allclose(together[row], alone, atol=1e-6 * float(jnp.abs(alone).max()))
    assert not np.allclose(layer.gates(x, mask)["group"][0], layer.gates(x, mask)["group"][1])


def test_what_stands_in_a_pad_moves_no_gate():
    layer = moved(random_layer(96, 256, 64)[0])
    x, mask = random_images(96)
    garbage = jnp.where(mask[..., None], x, jnp.nan)
    for name, gate in layer.gates(garbage, mask).items():
        np.testing.assert_array_equal(gate, layer.gates(x, mask)[name])
    nobody = layer.gates(x, jnp.zeros_like(mask))
    assert all(jnp.isfinite(gate).all() for gate in nobody.values())


@pytest.mark.slow
def test_gradients_are_finite_in_bfloat16_and_reach_every_parameter():
    model = spread_model(dynamic(DveConfig(groups=64)))
    inputs = random_inputs([[(6, 10)], [(4, 4)]], length=32, windows=4)
    rows = [jnp.asarray(x.reshape(-1, *x.shape[2:])) for x in tower_inputs(inputs)]

    @jax.jit
    @jax.grad
    def gradient(model):
        return jnp.sum(model.vision(*rows, dtype=jnp.bfloat16).astype(jnp.float32) ** 2)

    found = gradient(model)
    for path, leaf in jax.tree_util.tree_flatten_with_path(found.vision)[0]:
        assert jnp.isfinite(leaf).all() and jnp.any(leaf != 0), jax.tree_util.keystr(path)


def tower_inputs(inputs):
    return inputs.patches, inputs.patch_mask, inputs.patch_positions


def test_the_backward_pass_keeps_no_weight_of_an_image():
    layer = random_layer(96, 256, 64)[0]
    shape = jax.ShapeDtypeStruct((32, 4, 96), jnp.float32)

    def kept(layer, x):
        return jax.vjp(lambda layer, x: layer(x, jnp.ones(x.shape[:2], bool)), layer, x)[1]

    residuals = jax.tree.leaves(jax.eval_shape(kept, layer, shape))
    assert max(leaf.size for leaf in residuals) < 32 * 96 * 256 / 2


def test_the_7b_tower_grows_by_less_than_five_percent():
    config = model_config("qwen2_5_vl_7b")
    sizes = [
        sum(x.size for x in jax.tree.leaves(abstract_model(c).vision))
        for c in (config, dynamic(DveConfig(), config))
    ]
    assert 1.015 < sizes[1] / sizes[0] < 1.02  # the method's own count is 1.6 to 1.9 %
    described = describe_dve(abstract_model(dynamic(DveConfig(), config)))
    assert "blocks 7, 15, 23, 31" in described and f"{sizes[1] - sizes[0]:,}" in described
    assert describe_dve(abstract_model(config)) == ""


def test_a_config_comes_back_from_json():
    config = dynamic(DveConfig(groups=64, gates=("group",)))
    fields = dataclasses.asdict(config)
    fields["vision"]["dve"]["blocks"] = list(fields["vision"]["dve"]["blocks"])
    assert from_dict(VlmConfig, fields) == config
    assert config.vision.dve.blocks == TINY.vision.full_attention_blocks


@pytest.mark.parametrize(
    ("dve", "answer"),
    [
        ({"groups": 0}, "dve.groups=0 must be a whole number from 1 to"),
        ({"groups": 99_999}, "dve.groups=99999 exceeds the 12,384 frequency coefficients"),
        ({"blocks": (3, 4)}, r"dve.blocks \[4\] lie outside the tower of 4 blocks"),
        ({"blocks": ()}, r"dve.blocks=\(\) must be 1 or more values"),
        ({"linears": ("gate", "qkv")}, r"dve.linears='qkv' .*choose one of gate, up, down"),
        ({"gates": ()}, r"dve.gates=\(\) must be 1 or more"),
        ({"temperature": 0.0}, "dve.temperature=0.0 must be a finite number from 0.001"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_both_values(dve, answer):
    with pytest.raises(ConfigError, match=answer):
        dynamic(DveConfig(**({"groups": 4} | dve)))


def test_more_groups_than_coefficients_are_refused():
    with pytest.raises(ConfigError, match=r"dve.groups=41 must lie between 1 and 40"):
        fdlinear_from_linear(jnp.ones((8, 8)), None, groups=41, rngs=nnx.Rngs(0))


def test_a_dynamic_model_is_not_converted_twice():
    model = with_dve(spread_model(), DveConfig(groups=4))
    assert with_dve(model, DveConfig(groups=4)) is model
    with pytest.raises(ConfigError, match=r"model.dve=.*groups=64.*is dynamic already.*groups=4"):
        with_dve(model, DveConfig(groups=64))
