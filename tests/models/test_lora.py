"""LoRA: the same function at the start, folded in at the end, the base always within reach."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, listening, random_inputs, spread_model

from skinflow_jax.checkpoints.run_state import named_leaves
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import LORA_TARGETS, DveConfig, LoraConfig, VlmConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.lora import merged, with_lora, without_adapters
from skinflow_jax.models.vlm import ComputeConfig, abstract_model, init_model, prompt_states
from skinflow_jax.models.widening import with_extra_width

LORA = LoraConfig(rank=3, alpha=6.0, vision=True)
INPUTS = jax.tree.map(
    jnp.asarray,
    random_inputs([[(6, 10)], [(4, 4)]], SHALLOW, length=32, windows=4, images=1),
)


@jax.jit
def logits(model):
    return model.decoder.logits(prompt_states(model, INPUTS)[0])


def adapters(model):
    return {name: x for name, x in named_leaves(model).items() if "lora_" in name}


@pytest.fixture(scope="module")
def base():
    return spread_model(SHALLOW)


def test_new_adapters_change_no_logit(base):
    np.testing.assert_array_equal(logits(with_lora(base, LORA)), logits(base))


def test_the_base_is_shared_and_not_copied_both_ways(base):
    model = with_lora(base, LORA)
    plain = without_adapters(model)
    assert jax.tree.structure(plain) == jax.tree.structure(base)
    for ours, theirs in zip(jax.tree.leaves(plain), jax.tree.leaves(base), strict=True):
        assert ours is theirs


def test_merged_weights_compute_what_adapters_do(base):
    model = listening(with_lora(base, LORA))
    plain = merged(model)
    assert jax.tree.structure(plain) == jax.tree.structure(base)
    assert np.abs(logits(model) - logits(base)).max() > 0.1
    scale = np.abs(logits(model)).max()
    np.testing.assert_allclose(logits(plain) / scale, logits(model) / scale, atol=1e-5)
    for name in ("decoder/embedding", "vision/merger/wide/kernel"):
        assert named_leaves(plain)[name] is named_leaves(base)[name]


def test_an_adapter_adds_alpha_over_rank_times_its_product(base):
    model = listening(with_lora(base, LoraConfig(rank=4, alpha=12.0, targets=("o",))))
    o = model.decoder.layers.o
    a, b = np.asarray(o.lora_a[...], np.float64), np.asarray(o.lora_b[...], np.float64)
    added = np.einsum("lkgir,lrd->lkgid", a, b) * (12 / 4)
    found = merged(model).decoder.layers.o.kernel[...] - o.kernel[...]
    np.testing.assert_allclose(found, added, atol=1e-6)


def test_adapters_lie_along_the_axes_of_their_kernel(base):
    layers = with_lora(base, LORA).decoder.layers
    text, head = SHALLOW.text, SHALLOW.text.head_dim
    assert layers.q.lora_a.shape == (2, text.hidden_size, 3)
    assert layers.q.lora_b.shape == (2, 3, text.num_kv_heads, text.queries_per_kv, head)
    assert layers.q.lora_a.axes == ("embed", None)
    assert layers.q.lora_b.axes == (None, "heads", None, None)
    assert layers.o.lora_a.axes == ("heads", None, None, None)
    assert layers.o.lora_b.axes == (None, "embed")


def test_the_config_chooses_halves_and_maps():
    def adapted(**changes):
        config = dataclasses.replace(SHALLOW, lora=LoraConfig(rank=2, **changes))
        return {name.rsplit("/", 1)[0] for name in adapters(abstract_model(config))}

    language = {f"decoder/layers/{name}" for name in "qkvo"}
    language |= {f"decoder/layers/mlp/{name}" for name in ("gate", "up", "down")}
    assert adapted() == language
    blocks = ("vision/windowed", "vision/full")
    vision = {f"{block}/{name}" for block in blocks for name in ("qkv", "o")}
    vision |= {f"{block}/mlp/{name}" for block in blocks for name in ("gate", "up", "down")}
    assert adapted(vision=True) == language | vision
    assert adapted(vision=True, language=False, targets=("v", "down")) == {
        f"{block}/{name}" for block in blocks for name in ("qkv", "mlp/down")
    }


def test_dynamic_maps_have_no_adapters(base):
    model = with_lora(with_dve(base, DveConfig(groups=8, linears=("down",))), LORA)
    dynamic = {name for name in adapters(model) if "dynamic" in name}
    assert {name.split("/")[-2] for name in dynamic} == {"qkv", "o", "gate", "up"}
    assert not [name for name in dynamic if "/down/" in name]


@pytest.mark.slow
def test_a_model_made_with_adapters_has_the_weights_of_one_made_without():
    config = dataclasses.replace(SHALLOW, lora=LORA)
    plain = without_adapters(init_model(config, seed=3))
    for ours, theirs in zip(
        jax.tree.leaves(plain), jax.tree.leaves(init_model(SHALLOW, seed=3)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert jax.tree.structure(abstract_model(config)) == jax.tree.structure(init_model(config))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_keep_their_type(base, dtype):
    states, _ = jax.eval_shape(
        lambda model: prompt_states(model, INPUTS, ComputeConfig(dtype)), with_lora(base, LORA)
    )
    assert states.dtype == dtype


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "lora.rank=0 must be a whole number from 1 to"),
        ({"alpha": 0.0}, "lora.alpha=0.0 must be a finite number above 0"),
        ({"targets": ("q", "head")}, f"choose one of {', '.join(LORA_TARGETS)}"),
        ({"targets": ()}, "lora.targets=() must be 1 or more values"),
        ({"language": False}, "lora.language and lora.vision are both False"),
    ],
)
def test_a_bad_config_is_refused(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        LoraConfig(**values)


def test_adapters_and_a_frozen_half_exclude_each_other():
    with pytest.raises(ConfigError, match=r"model.trainable='vision' and model.lora exclude"):
        VlmConfig(lora=LoraConfig(), trainable="vision")
    with pytest.raises(ConfigError, match=r"model.trainable='head'.*all, vision, language"):
        VlmConfig(trainable="head")


def test_a_model_with_adapters_takes_no_others_and_no_other_tower(base):
    model = with_lora(base, LORA)
    assert with_lora(model, LORA) is model
    with pytest.raises(ConfigError, match=r"model.lora=.*rank=5.*has adapters already.*rank=3"):
        with_lora(model, LoraConfig(rank=5))
    for grown in (lambda: with_dve(model, DveConfig(groups=8)), lambda: with_extra_width(model, 8)):
        with pytest.raises(ConfigError, match="LoRA adapters cannot be converted"):
            grown()
