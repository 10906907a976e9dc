"""Attention is looked at in the model as it is: with its adapters and its dynamic tower."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, listening, random_completions, random_inputs, spread_model

from skinflow_jax.models import attention
from skinflow_jax.models.attention_rows import attention_rows, with_completions
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.inputs import empty_inputs
from skinflow_jax.models.lora import merged, with_lora
from skinflow_jax.models.vlm import (
    ComputeConfig,
    abstract_model,
    completion_states,
    prefill,
    prompt_states,
)

DYNAMIC = dataclasses.replace(
    SHALLOW, vision=dataclasses.replace(SHALLOW.vision, dve=DveConfig(groups=64))
)
INPUTS = jax.tree.map(
    jnp.asarray, random_inputs([[(6, 10)], [(4, 4)]], SHALLOW, length=32, windows=4, images=1)
)


def rows_of(model, **options):
    queries = np.zeros((2, 1, 32), np.float32)
    queries[:, 0, 15] = 1
    return [np.asarray(x) for x in attention_rows(model, INPUTS, queries, **options)]


@pytest.fixture(scope="module")
def model():
    return spread_model(DYNAMIC)


def test_adapters_count_as_they_do_once_they_are_merged(model):
    adapted = listening(with_lora(model, LoraConfig(rank=3, alpha=6.0, vision=True)))
    plain = rows_of(model)
    for found, expected, without in zip(
        rows_of(adapted), rows_of(merged(adapted)), plain, strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.abs(found - without).max() > 1e-3


def test_the_dynamic_tower_changes_what_is_looked_at(model):
    static = spread_model(SHALLOW)
    static.decoder = model.decoder
    for found, other in zip(rows_of(model), rows_of(static), strict=True):
        assert np.abs(found - other).max() > 1e-4


def test_in_bfloat16_rows_are_float32_and_sum_to_one(model):
    for rows in rows_of(model, compute=ComputeConfig("bfloat16")):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows.sum(axis=-1), 1, atol=1e-5)


def test_a_completion_in_the_sequence_is_a_completion_after_its_prompt(model):
    """The states are those of the shared prefix, whatever padding stands between the two."""
    completions = jnp.asarray(random_completions((2, 5)))
    whole = with_completions(INPUTS, completions, jnp.ones((2, 5), bool))
    states, _ = jax.jit(prompt_states)(model, whole)
    expected = jax.jit(lambda m: completion_states(m, prefill(m, INPUTS), completions[:, None]))
    np.testing.assert_allclose(states[:, 32:36], expected(model)[:, 0, 1:], atol=2e-5)
    np.testing.assert_array_equal(whole.next_position, INPUTS.next_position + 5)


def test_the_probabilities_of_a_layer_are_never_all_in_memory(monkeypatch):
    """Nor those of all layers: what is kept of each are the rows of the queries."""
    monkeypatch.setattr(attention, "SCORES_BUDGET", 2**18)
    text = dataclasses.replace(SHALLOW.text, num_heads=16, num_kv_heads=4, mrope_section=(1, 1, 2))
    config, length = dataclasses.replace(SHALLOW, text=text), 1024
    inputs = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
        empty_inputs(1, config, length=length, windows=1, images=0),
    )
    queries = jax.ShapeDtypeStruct((1, 2, length), jnp.float32)
    compiled = attention_rows.lower(abstract_model(config), inputs, queries).compile()
    of_a_layer = 4 * text.num_heads * length**2
    assert compiled.memory_analysis().temp_size_in_bytes < of_a_layer / 2
