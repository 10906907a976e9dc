"""In bfloat16 the sampler's copy of the weights computes what the learner computes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from random_model import SHALLOW, listening, random_completions, random_inputs, spread_model

from skinflow_jax.checkpoints.named_tensors import named_leaves
from skinflow_jax.config import ModelChoice, RunConfig
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.lora import without_adapters
from skinflow_jax.models.trainable import joined, trained_part
from skinflow_jax.models.vlm import ComputeConfig, prompt_states
from skinflow_jax.parallel import read_dtype
from skinflow_jax.rl.sampler import Rollout, rollout_weights
from skinflow_jax.rl.update import fixed_log_probs
from skinflow_jax.runs.start import kept_reference

COMPUTE = ComputeConfig("bfloat16")
# Adapters, static and dynamic blocks, a head of its own: every kind of parameter that there is.
EVERYTHING = dataclasses.replace(
    SHALLOW,
    vision=dataclasses.replace(SHALLOW.vision, dve=DveConfig(blocks=(1,), groups=16)),
    lora=LoraConfig(rank=2),
    text=dataclasses.replace(SHALLOW.text, tie_word_embeddings=False),
)


@pytest.fixture(scope="module")
def model():
    """Gates moved away from 1, adapters away from nothing."""
    return listening(spread_model(EVERYTHING))


@pytest.fixture(scope="module")
def inputs():
    return random_inputs([[(8, 8)], [(6, 10)], [(4, 4)], [(8, 12)]], SHALLOW)


@jax.jit
def outputs(model, inputs):
    """Image features, gates and logits with bfloat16 activations."""
    images = inputs.images()
    features = model.vision(*images, dtype=jnp.bfloat16)
    gates = model.vision.gates(*images, dtype=jnp.bfloat16)
    states, _ = prompt_states(model, inputs, COMPUTE)
    return features, gates, model.decoder.logits(states)


def equal(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.slow
def test_features_gates_and_logits_are_the_learners_bit_by_bit(model, inputs):
    learner, sampler = outputs(model, inputs), outputs(rollout_weights(model, COMPUTE), inputs)
    for name, a, b in zip(("features", "gates", "logits"), learner, sampler, strict=True):
        assert equal(a, b), name
    gates = jnp.concatenate([gate.ravel() for gate in jax.tree.leaves(learner[1])])
    assert jnp.std(gates) > 0.05


def test_the_copy_is_half_as_large_but_for_what_is_read_in_float32(model):
    copy = named_leaves(rollout_weights(model, COMPUTE))
    kept = {name for name, x in copy.items() if x.dtype == jnp.float32}
    assert {x.dtype for name, x in copy.items() if name not in kept} == {jnp.dtype("bfloat16")}
    maps = {f"vision/dynamic/mlp/{linear}" for linear in ("gate", "up", "down")}
    assert {name.rsplit("/", 1)[0] for name in kept if "spectrum" in name} == maps
    assert all(any(name.startswith(place) for place in maps) for name in kept)
    assert all(f"{place}/bias" not in kept for place in maps)


def is_parameter(leaf):
    return isinstance(leaf, nnx.Variable)


@pytest.mark.slow
def test_every_parameter_is_read_in_the_type_that_it_states(model, inputs):
    """A parameter read in bfloat16 may be rounded to it beforehand; one read in float32 may not."""
    expected = outputs(model, inputs)
    leaves, structure = jax.tree_util.tree_flatten_with_path(model, is_leaf=is_parameter)
    wrong = []
    for place, (path, parameter) in enumerate(leaves):
        rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(x.dtype), parameter)
        others = [leaf for _, leaf in leaves]
        others[place] = rounded
        in_float32 = not equal(outputs(jax.tree.unflatten(structure, others), inputs), expected)
        if in_float32 != (read_dtype(parameter, jnp.bfloat16) == jnp.float32):
            wrong.append(f"{jax.tree_util.keystr(path)} is read in float32: {in_float32}")
    assert not wrong


def test_a_bfloat16_model_made_dynamic_keeps_the_new_spectrum_in_float32():
    """Rounded, the map would not be the static one that it came from."""
    static = jax.tree.map(lambda x: x.astype(jnp.bfloat16), spread_model(SHALLOW))
    dynamic = with_dve(static, DveConfig(groups=16)).vision.dynamic
    assert dynamic.mlp.gate.spectrum.dtype == jnp.float32
    assert dynamic.mlp.gate.bias.dtype == dynamic.qkv.kernel.dtype == jnp.bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("trained", ["adapters and dynamic maps", "all"])
def test_a_kl_is_to_the_bit_the_one_to_a_reference_kept_in_float32(model, inputs, trained):
    model = model if trained != "all" else without_adapters(model)
    shape = (len(inputs.input_ids), 2, 6)
    tokens, mask = jnp.asarray(random_completions(shape)), jnp.ones(shape, bool)
    rollout = Rollout(tokens, mask, jnp.zeros(shape), mask[:, :, 0])
    kept = kept_reference(model, RunConfig(model=ModelChoice(dtype="bfloat16")))
    assert {x.dtype.name for x in jax.tree.leaves(kept)} == {"bfloat16", "float32"}
    ours, theirs = (
        fixed_log_probs(
            joined(part, model), inputs, rollout, temperature=0.9, compute=COMPUTE, micro_batches=2
        )
        for part in (kept, trained_part(model))
    )
    assert jnp.std(ours) > 0.1
    np.testing.assert_array_equal(ours, theirs)
