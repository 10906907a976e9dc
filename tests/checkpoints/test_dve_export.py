"""A dynamic model in a Hugging Face folder, with PyTorch code of its own."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import torch
from random_model import SHALLOW, TINY, spread_model
from transformers import AutoConfig

import skinflow_jax
from skinflow_jax.checkpoints.hf_config import PLAIN
from skinflow_jax.checkpoints.hf_safetensors import read_header
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.models.config import DveConfig
from skinflow_jax.models.dve_conversion import with_dve

pytestmark = pytest.mark.slow

VARIANTS = {
    "all": DveConfig(groups=64),
    "some": DveConfig(groups=7, blocks=(0, 1), linears=("gate", "down"), gates=("output", "group")),
}


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    """Every parameter away from its start, so every gate is away from 1."""
    vision = dataclasses.replace(TINY.vision, dve=VARIANTS[request.param])
    return spread_model(dataclasses.replace(TINY, vision=vision))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    skinflow_jax.save_pretrained(model, folder)
    return folder


@pytest.fixture(scope="module")
def reference(exported, load_dynamic):
    return load_dynamic(exported)


@pytest.fixture(scope="module")
def batch(batch_of):
    return batch_of([[(4, 6), (8, 8)], [(10, 6)], []], left=True)


def test_pytorch_gives_the_same_logits(model, reference, batch, logits_of_reference):
    expected = logits_of_reference(reference, batch)
    real = batch.attention_mask.astype(bool)
    found = skinflow_jax.forward_logits(model, **batch.arrays())
    assert np.abs(found - expected)[real].max() <= 1e-4
    assert expected[real].std() > 0.5
    gates = gates_of(reference)
    assert gates and all(torch.std(gate) > 0.01 for gate in gates)


def gates_of(reference):
    """Gates of the first dynamic map for some input."""
    linear = next(m for m in reference.modules() if type(m).__name__ == "FDLinear")
    hidden = torch.rand(linear.reduce.out_features)
    gates = [linear.gate(name, hidden) for name in ("input", "output", "group")]
    return [gate for gate in gates if gate is not None]


def test_pytorch_generates_and_every_parameter_gets_a_gradient(reference, batch):
    tensors = batch.tensors(reference.config.image_token_id)
    answer = reference.generate(**tensors, max_new_tokens=3, do_sample=False)
    assert answer.shape[1] == batch.input_ids.shape[1] + 3
    losses = {}
    for checkpointed in (False, True):
        reference.train()
        if checkpointed:
            reference.gradient_checkpointing_enable()
        reference.zero_grad()
        output = reference(**tensors, labels=tensors["input_ids"], use_cache=False)
        output.loss.backward()
        losses[checkpointed] = (
            output.loss.item(),
            {name: p.grad.clone() for name, p in reference.named_parameters()},
        )
    reference.eval()
    for name, gradient in losses[False][1].items():
        assert torch.isfinite(gradient).all() and (gradient != 0).any(), name
        torch.testing.assert_close(gradient, losses[True][1][name])


def test_we_read_our_own_export_and_what_transformers_saves_of_it(
    model, exported, reference, tmp_path
):
    reference.save_pretrained(tmp_path)
    for folder in (exported, tmp_path):
        found = skinflow_jax.load_pretrained(folder)
        assert found.config.vision == model.config.vision
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(model), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_fresh_pytorch_model_starts_with_gates_of_one(exported, reference):
    config = type(reference.config).from_pretrained(exported)
    fresh = type(reference)(config)
    gates = gates_of(fresh)
    assert gates and all((gate == 1).all() for gate in gates)
    linear = next(m for m in fresh.modules() if type(m).__name__ == "FDLinear")
    assert torch.isfinite(linear.spectrum).all() and linear.spectrum.std() > 0


def test_the_folder_carries_its_code_and_says_which_settings(exported, model):
    assert {"configuration_skinflow.py", "modeling_skinflow.py"} <= {
        file.name for file in exported.iterdir()
    }
    config = AutoConfig.from_pretrained(exported, trust_remote_code=True)
    assert config.dve["blocks"] == list(model.config.vision.dve.blocks)
    assert not list(exported.glob("*.bin"))


def test_a_bfloat16_export_keeps_in_float32_what_a_dynamic_map_reads_so(model, tmp_path):
    skinflow_jax.save_pretrained(model, tmp_path / "half", dtype="bfloat16")
    (file,) = (tmp_path / "half").glob("*.safetensors")
    types = {name: str(tensor.dtype) for name, tensor in read_header(file).items()}
    wide = {name for name, dtype in types.items() if dtype == "float32"}
    parts = ("spectrum", "reduce", "norm", "gate.")
    assert wide and set(types.values()) == {"float32", "bfloat16"}
    for name in types:
        inner = name.partition("_proj.")[2]
        assert (name in wide) == any(part in f"{inner}." for part in (*parts, "_gate.")), name
    assert json.loads((tmp_path / "half" / "config.json").read_text())["torch_dtype"] == "bfloat16"
    found = skinflow_jax.load_pretrained(tmp_path / "half")
    expected, spectra = (m.vision.dynamic.mlp.down.spectrum[...] for m in (model, found))
    np.testing.assert_array_equal(spectra, expected)


def test_a_static_model_is_exported_as_plain_qwen(tmp_path):
    skinflow_jax.save_pretrained(spread_model(), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == "qwen2_5_vl" and "auto_map" not in config
    assert not list((tmp_path / "out").glob("*.py"))


def test_a_pretrained_folder_becomes_dynamic_as_it_is_loaded(tmp_path, batch):
    static, dve = spread_model(SHALLOW), DveConfig(groups=64)
    skinflow_jax.save_pretrained(static, tmp_path / "out")
    found = skinflow_jax.load_pretrained(tmp_path / "out", dve=dve)
    assert found.config.vision.dve.groups == 64
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(with_dve(static, dve)), strict=True):
        np.testing.assert_array_equal(a, b)
    real = batch.attention_mask.astype(bool)
    expected = skinflow_jax.forward_logits(static, **batch.arrays())
    difference = np.abs(skinflow_jax.forward_logits(found, **batch.arrays()) - expected)
    assert difference[real].max() <= 1e-5


def test_another_dve_than_the_folders_own_is_refused(exported, model):
    groups = model.config.vision.dve.groups
    with pytest.raises(ConfigError, match=rf"groups=5.*is dynamic already.*groups={groups}"):
        skinflow_jax.load_pretrained(exported, dve=DveConfig(groups=5))


def test_dynamic_weights_under_a_static_config_are_named(exported, tmp_path):
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    for field in ("dve", "auto_map"):
        del config[field]
    config |= PLAIN
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"left over .*down_proj.group_gate.*weights and config"):
        skinflow_jax.load_pretrained(tmp_path)
