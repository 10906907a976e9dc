"""The table at the start says what is trained and what a device will hold."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType
from random_model import SHALLOW, random_inputs, spread_model
from rich.console import Console

from skinflow_jax.models.config import DveConfig, LoraConfig, model_config
from skinflow_jax.models.layers import parameter_count
from skinflow_jax.models.vlm import abstract_model, prefill
from skinflow_jax.training.memory_table import (
    RolloutShapes,
    memory_rows,
    parameter_rows,
    start_table,
)
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
from skinflow_jax.training.state import abstract_state, create_state

OPTIMIZER = make_optimizer(OptimizerConfig(), 10)
ROLLOUT = RolloutShapes(
    prompts=4,
    group_size=2,
    prompt_length=32,
    completion_length=8,
    micro_batches=2,
    dtype="float32",
    reference=True,
)
LORA = LoraConfig(rank=2)


def configured(config=SHALLOW, dve=None, **changes):
    vision = dataclasses.replace(config.vision, dve=dve)
    return abstract_model(dataclasses.replace(config, vision=vision, **changes))


def by_kind(rows):
    return {row.kind: row.bytes for row in rows}


def test_every_parameter_is_counted_in_one_part():
    model = configured(dve=DveConfig(groups=8), lora=LORA)
    rows = parameter_rows(model)
    assert sum(row.parameters for row in rows) == parameter_count(model)
    found = {row.part: row.parameters for row in rows}
    assert found["dynamic maps"] == parameter_count(model.vision.dynamic.mlp)
    assert found["merger"] == parameter_count(model.vision.merger)
    assert found["head"] == SHALLOW.text.vocab_size * SHALLOW.text.hidden_size
    assert {row.part for row in rows if row.trained} == {"dynamic maps", "adapters"}


@pytest.mark.parametrize(
    ("half", "trained"),
    [
        ("vision", {"patch embedding", "vision blocks", "merger"}),
        ("language", {"token embedding", "decoder layers", "final norm", "head"}),
    ],
)
def test_a_half_is_told_from_the_other(half, trained):
    rows = parameter_rows(configured(trainable=half))
    assert {row.part for row in rows if row.trained} == trained


def test_a_tied_model_has_no_head():
    text = dataclasses.replace(SHALLOW.text, tie_word_embeddings=True)
    assert "head" not in {row.part for row in parameter_rows(configured(text=text))}


def test_bytes_are_those_of_the_arrays_there_will_be():
    model = spread_model(SHALLOW)
    found = by_kind(memory_rows(abstract_state(model, OPTIMIZER), ROLLOUT))
    state = create_state(model, OPTIMIZER)
    assert found["weights"] == sum(x.nbytes for x in jax.tree.leaves(state.model))
    assert found["optimizer state"] == sum(x.nbytes for x in jax.tree.leaves(state.opt_state))
    assert found["gradients"] == found["KL reference in float32"] == found["weights"]
    assert "sampler's copy of the weights" not in found
    grids = [[(4, 4)]] * ROLLOUT.prompts
    inputs = random_inputs(grids, SHALLOW, length=32, windows=2)
    keys = jax.eval_shape(
        lambda inputs: prefill(model, inputs).keys, jax.tree.map(jnp.asarray, inputs)
    )
    assert found["prefix keys and values"] == 2 * keys.size * keys.dtype.itemsize
    cache = model.decoder.empty_cache((ROLLOUT.prompts, 2), 8, jnp.float32)
    assert found["completion keys and values"] == sum(x.nbytes for x in jax.tree.leaves(cache))
    layers = jax.tree.leaves(model.decoder.layers)
    assert found["layers as decoding reads them"] == sum(x.nbytes for x in layers)
    vocabulary = SHALLOW.text.vocab_size
    assert found["one chunk of logits"] == np.prod([2, 2, 8, vocabulary]) * 4


def test_adapters_take_gradients_and_moments_of_their_own_size():
    model = configured(lora=LORA)
    adapters = {row.part: row.parameters for row in parameter_rows(model)}["adapters"]
    found = by_kind(memory_rows(abstract_state(model, OPTIMIZER), ROLLOUT))
    assert found["gradients"] == found["KL reference in float32"] == 4 * adapters
    assert found["optimizer state"] == 2 * 4 * adapters + 2 * 4  # and two step counts


def test_a_mesh_divides_what_is_spread():
    mesh = AbstractMesh((1, 4, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)
    model = abstract_model(model_config("qwen2_5_vl_7b"))
    rollout = dataclasses.replace(ROLLOUT, prompts=8, dtype="bfloat16", reference=False)
    one = by_kind(memory_rows(abstract_state(model, OPTIMIZER), rollout))
    each = by_kind(memory_rows(abstract_state(model, OPTIMIZER, mesh), rollout, mesh))
    # Norms and biases stay whole, and 3,420 hidden units of the tower divide by both axes.
    for kind in ("weights", "gradients", "optimizer state"):
        assert 1 / 8 < each[kind] / one[kind] < 0.126
    copy = "sampler's copy of the weights"
    assert one[copy] == one["weights"] / 2
    assert 1 / 2 < each[copy] / one[copy] < 0.501
    layers = "layers as decoding reads them"
    assert 1 / 2 < each[layers] / one[layers] < 0.501
    assert each["prefix keys and values"] * 8 == one["prefix keys and values"]
    assert each["one chunk of logits"] * 8 == one["one chunk of logits"]


def test_the_table_says_trained_frozen_estimate_and_of_how_many_devices():
    model = configured(lora=LORA)
    console = Console(width=100, record=True, file=io.StringIO())
    rollout = dataclasses.replace(ROLLOUT, dtype="bfloat16")
    memory = memory_rows(abstract_state(model, OPTIMIZER), rollout)
    console.print(start_table(parameter_rows(model), memory, devices=8))
    lines = [line for line in console.export_text().splitlines() if line.strip()]
    assert any("adapters" in line and "trained" in line for line in lines)
    assert any("merger" in line and "frozen" in line for line in lines)
    assert "memory of each of 8 devices" in map(str.strip, lines)
    assert any("KL reference in bfloat16" in line for line in lines)
    assert any("prefix keys and values" in line and "estimate" in line for line in lines)
    assert any("weights" in line and "estimate" not in line for line in lines)
