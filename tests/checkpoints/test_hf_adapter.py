"""PEFT adapter folders: what leaves comes back, and what is not ours is refused by name."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from random_model import SHALLOW, listening, spread_model
from safetensors.numpy import load_file, save_file

from skinflow_jax.checkpoints import hf_adapter, peft_targets
from skinflow_jax.checkpoints.hf_adapter import (
    CONFIG,
    WEIGHTS,
    is_adapter,
    load_adapter,
    save_adapter,
    stated_base,
)
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.lora import with_lora

LORA = LoraConfig(rank=3, alpha=16.0, targets=("q", "v", "o", "down"), vision=True)
LAYER = "base_model.model.model.language_model.layers.0."
Q_A, Q_B = LAYER + "self_attn.q_proj.lora_A.weight", LAYER + "self_attn.q_proj.lora_B.weight"


@pytest.fixture(scope="module")
def base():
    return spread_model(SHALLOW)


@pytest.fixture(scope="module")
def adapted(base):
    return listening(with_lora(base, LORA))


@pytest.fixture(scope="module")
def saved(adapted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    save_adapter(adapted, folder, base="somewhere/model")
    return folder


@pytest.fixture
def changed(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "changed")


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "lora",
    [
        LORA,
        LoraConfig(rank=2, alpha=1.5),
        LoraConfig(rank=5, targets=("gate",), language=False, vision=True),
    ],
)
def test_an_adapter_comes_back_as_it_left(base, lora, tmp_path):
    model = listening(with_lora(base, lora))
    save_adapter(model, tmp_path / "out", base=None)
    assert is_adapter(tmp_path / "out")
    found = load_adapter(base, tmp_path / "out")
    assert_same(found, model)
    assert found.config.lora == lora


def test_the_tensors_are_the_factors_that_peft_multiplies(adapted, saved):
    tensors = load_file(saved / WEIGHTS)
    q = adapted.decoder.layers.q
    change = tensors[Q_B] @ tensors[Q_A] * (LORA.alpha / LORA.rank)
    kernel = np.asarray(q.kernel[0]).reshape(128, 128)
    whole = np.asarray(q.whole_kernel()[0]).reshape(128, 128)
    np.testing.assert_allclose(change.T, whole - kernel, atol=1e-5)
    assert len(tensors) == 2 * 2 * (4 + 3)


def test_the_config_names_every_adapted_module_and_the_base(saved):
    fields = json.loads((saved / CONFIG).read_text())
    assert (fields["r"], fields["lora_alpha"]) == (3, 16.0)
    assert fields["base_model_name_or_path"] == "somewhere/model"
    assert "model.language_model.layers.1.mlp.down_proj" in fields["target_modules"]
    assert "model.visual.blocks.0.attn.qkv" in fields["target_modules"]
    assert len(fields["target_modules"]) == 2 * (4 + 3)


def test_peft_itself_computes_what_the_merged_export_does(
    make_pair, batch_of, logits_of_reference, tmp_path
):
    import peft  # imports torch

    reference, base = make_pair(SHALLOW)
    model, batch = listening(with_lora(base, LORA)), batch_of([[(6, 10)], []])
    save_adapter(model, tmp_path / "adapter", base=None)
    save_pretrained(model, tmp_path / "merged")
    merged, _ = type(reference).from_pretrained(tmp_path / "merged", output_loading_info=True)
    expected = logits_of_reference(merged.eval(), batch)
    before = logits_of_reference(reference, batch)
    wrapped = peft.PeftModel.from_pretrained(reference, tmp_path / "adapter").eval()
    found = logits_of_reference(wrapped, batch)
    real = batch.attention_mask.astype(bool)
    assert np.abs(found - before)[real].max() > 0.1
    np.testing.assert_allclose(found[real], expected[real], rtol=0, atol=4e-5)
    wrapped.save_pretrained(tmp_path / "again")
    assert_same(load_adapter(base, tmp_path / "again"), model)


def fields(**changes):
    def change(folder):
        path = folder / CONFIG
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def tensors(change):
    def edit(folder):
        found = load_file(folder / WEIGHTS)
        change(found)
        save_file(found, folder / WEIGHTS)

    return edit


def nan(found):
    found[Q_A] = np.full_like(found[Q_A], np.nan)


REFUSED = {
    **{
        f"{name}={value}": (fields(**{name: value}), rf"{CONFIG}: {name}=.* not computed here")
        for name, value in {
            "use_dora": True,
            "use_rslora": True,
            "bias": "all",
            "fan_in_fan_out": True,
            "rank_pattern": {"q_proj": 8},
            "alpha_pattern": {"q_proj": 8},
            "modules_to_save": ["lm_head"],
            "layers_to_transform": [0],
            "layer_replication": [[0, 2]],
            "trainable_token_indices": [5],
            "target_parameters": ["x"],
            "lora_bias": True,
            "init_lora_weights": "pissa",
            "loftq_config": {"loftq_bits": 4},
            "eva_config": {"rho": 2.0},
        }.items()
    },
    "another method": (fields(peft_type="LOHA"), r"peft_type='LOHA': only LORA"),
    "unknown field": (fields(use_future_thing=True), r"use_future_thing.*unknown"),
    "no target": (fields(target_modules=["k_proj"]), r"leaves out model.language_model.layers.0"),
    "one target": (fields(target_modules=["q_proj", "visual.x"]), r"leaves out .*mlp.down_proj"),
    "target pattern": (fields(target_modules=r".*\.[qv]_proj"), r"leaves out .*mlp.down_proj"),
    "excluded": (fields(exclude_modules=["q_proj"]), r"leaves out .*q_proj, which has tensors"),
    "target number": (fields(target_modules=3), r"target_modules=3 must be a list"),
    "target of none": (fields(target_modules=[None]), r"target_modules=\[None\] must be"),
    "broken pattern": (fields(exclude_modules="("), r"exclude_modules='\(' is no regular"),
    "endless": (fields(target_modules="(.*)*(.*)*(.*)*x"), r"takes longer than 0.5 seconds"),
    "rank text": (fields(r="8"), r"r or lora_alpha: .*lora.rank='8'"),
    "rank nothing": (fields(r=0), r"lora.rank=0"),
    "another rank": (fields(r=4), r"lora_A.weight has shape \(3, 128\), .* asks for \(4, 128\)"),
    "alpha": (fields(lora_alpha=-1), r"lora.alpha=-1"),
    "base": (fields(base_model_name_or_path=3), r"base_model_name_or_path=3 is no name"),
    "missing": (tensors(lambda t: t.pop(Q_A)), r"1 tensors missing \(.*q_proj.lora_A.weight\)"),
    "one layer": (
        tensors(lambda t: [t.pop(name) for name in list(t) if "layers.1." in name]),
        r"8 tensors missing \(model.layers.1",
    ),
    "embedding": (
        tensors(lambda t: t.update({LAYER.replace("layers.0.", "embed_tokens.lora_A"): t[Q_A]})),
        r"embed_tokens.lora_A.* is of no map",
    ),
    "magnitude": (
        tensors(lambda t: t.update({Q_A.replace("lora_A", "lora_magnitude_vector"): t[Q_A]})),
        r"1 tensors left over \(.*magnitude_vector",
    ),
    "another depth": (
        tensors(lambda t: t.update({Q_A.replace("layers.0", "layers.7"): t[Q_A]})),
        r"1 tensors left over \(model.layers.7",
    ),
    "two spellings": (
        tensors(lambda t: t.update({Q_A.replace("language_model.", ""): t[Q_A]})),
        r"are for one parameter",
    ),
    "nan": (tensors(nan), rf"1 tensors hold NaN.*{Q_A}"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), rf"{WEIGHTS} does not exist"),
    "pickle": (lambda f: (f / WEIGHTS).rename(f / "adapter_model.bin"), r"does not exist"),
}


@pytest.mark.parametrize("variant", REFUSED)
def test_an_adapter_that_is_not_ours_is_refused_in_one_line(base, changed, variant, monkeypatch):
    if variant == "endless":
        monkeypatch.setattr(peft_targets, "MOST_SECONDS", 0.5)
    change, message = REFUSED[variant]
    change(changed)
    with pytest.raises(InputError, match=message) as error:
        stated_base(changed)
        load_adapter(base, changed)
    assert "\n" not in str(error.value) and str(changed) in str(error.value)


@pytest.mark.parametrize(
    "stated",
    [
        ["q_proj", "v_proj", "o_proj", "down_proj", "qkv", "attn.proj"],
        r"^(model\.layers|visual\.blocks)\..*",  # of the names in transformers 4
        r"^model\.(language_model|visual)\..*",
        "all-linear",
        None,
    ],
)
def test_modules_may_be_named_as_peft_lets_them(base, adapted, changed, stated):
    fields(target_modules=stated, exclude_modules=["lm_head"])(changed)
    assert load_adapter(base, changed).config.lora == LORA


def test_an_adapter_of_another_base_is_refused(changed):
    wider = dataclasses.replace(
        SHALLOW, text=dataclasses.replace(SHALLOW.text, intermediate_size=96)
    )
    tensors(lambda found: None)(changed)  # as PEFT writes it, without a note of the base
    with pytest.raises(InputError, match=r"has shape \(3, 352\), .* asks for \(3, 96\)"):
        load_adapter(spread_model(wider), changed)


def test_an_adapter_of_other_weights_of_the_same_shapes_is_refused(base, adapted, changed):
    def scaled(path, x):
        return x.at[0].multiply(1.1) if ".decoder.norm.scale" in jax.tree_util.keystr(path) else x

    moved = jax.tree_util.tree_map_with_path(scaled, base)
    refused = rf"{WEIGHTS} was trained upon other weights than those of .* says 'somewhere/model'"
    with pytest.raises(InputError, match=refused):
        load_adapter(moved, changed)
    half = jax.tree.map(lambda x: x.astype("bfloat16").astype(x.dtype), base)
    found = load_adapter(half, changed)  # as an export in bfloat16 has it
    assert_same(found.decoder.layers.q.lora_a, adapted.decoder.layers.q.lora_a)
    tensors(lambda found: None)(changed)
    assert load_adapter(moved, changed).config.lora == LORA, "of PEFT's own nothing is known"


def test_a_fingerprint_of_a_base_is_that_of_numpys_rounding():
    """Also of values that a device may flush to 0."""
    x = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    x[:1000] *= np.float32(1e-40)
    half = x.astype("bfloat16")
    np.testing.assert_array_equal(hf_adapter._bfloat16_bits(x), half.view(np.uint16))
    np.testing.assert_array_equal(hf_adapter._bfloat16_bits(half), half.view(np.uint16))


def test_no_adapters_or_dynamic_maps_beside_them_are_refused(base, tmp_path):
    with pytest.raises(InputError, match="no LoRA adapters"):
        save_adapter(base, tmp_path / "out", base=None)
    vision = dataclasses.replace(SHALLOW.vision, dve=DveConfig(groups=4))
    dynamic = with_lora(spread_model(dataclasses.replace(SHALLOW, vision=vision)), LORA)
    with pytest.raises(InputError, match=r"dynamic maps.*merged"):
        save_adapter(dynamic, tmp_path / "out", base=None)
    assert not (tmp_path / "out").exists()


def test_a_merged_export_and_base_with_adapter_are_one_model(base, adapted, saved, tmp_path):
    folders = [tmp_path / side / "model" for side in ("merged", "again")]
    for folder, model in zip(folders, (adapted, load_adapter(base, saved)), strict=True):
        save_pretrained(model, folder)
    assert_same(*map(load_pretrained, folders))
