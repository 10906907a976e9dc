"""The exported dynamic model in PyTorch: its types, its gradients, compiled, and saved again."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from random_model import SHALLOW, spread_model

import skinflow_jax
from skinflow_jax.models.config import DveConfig
from skinflow_jax.models.vlm import ComputeConfig
from skinflow_jax.parallel import as_read

pytestmark = pytest.mark.slow

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
VISION = dataclasses.replace(
    SHALLOW.vision, dve=DveConfig(groups=9, blocks=(0, 1), linears=("gate", "down"))
)


@pytest.fixture(scope="module")
def model():
    """Gates away from 1."""
    return spread_model(dataclasses.replace(SHALLOW, vision=VISION))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    skinflow_jax.save_pretrained(model, folder)
    return folder


@pytest.fixture(scope="module")
def load(folder, load_dynamic):
    return functools.partial(load_dynamic, folder)


@pytest.fixture(scope="module", params=TYPES)
def loaded(request, load):
    return load(TYPES[request.param])


@pytest.fixture(scope="module")
def batch(batch_of):
    return batch_of([[(4, 6), (8, 8)], [(10, 6)], []], left=True)


def tensors(reference, batch):
    found = batch.tensors(reference.config.image_token_id)
    return found | {"pixel_values": found["pixel_values"].to(reference.dtype)}


def logits(reference, batch):
    """Float32, of real tokens."""
    with torch.no_grad():
        found = reference(**tensors(reference, batch)).logits.float().numpy()
    return found[batch.attention_mask.astype(bool)]


def ours(model, batch, dtype):
    compute = ComputeConfig(dtype)
    model = jax.tree.map(jnp.asarray, as_read(model, dtype))
    found = skinflow_jax.forward_logits(model, **batch.arrays(), compute=compute)
    return found[batch.attention_mask.astype(bool)]


def dynamic_maps(reference):
    return [m for m in reference.modules() if type(m).__name__ == "FDLinear"]


def test_dynamic_maps_keep_float32_in_every_type(loaded):
    kept = {
        parameter
        for linear in dynamic_maps(loaded)
        for name, parameter in linear.named_parameters()
        if name != "bias"
    }
    assert len(kept) == 4 * 9
    for name, parameter in loaded.named_parameters():
        expected = torch.float32 if parameter in kept else loaded.dtype
        assert parameter.dtype == expected, name


def test_a_bfloat16_model_gives_what_ours_gives_in_bfloat16(load, model, batch):
    """Both round in other orders: a difference is that of two of bfloat16's roundings."""
    expected = ours(model, batch, "bfloat16")
    difference = logits(load(torch.bfloat16), batch) - expected
    assert np.sqrt(np.mean(difference**2)) <= 0.02 * expected.std()
    exact = ours(model, batch, "float32")
    assert np.sqrt(np.mean((expected - exact) ** 2)) > 1e-4, "nothing was rounded"


def test_it_generates_in_every_type(loaded, batch):
    answer = loaded.generate(**tensors(loaded, batch), max_new_tokens=3, do_sample=False)
    assert answer.shape[1] == batch.input_ids.shape[1] + 3


def test_every_parameter_learns_in_every_type_rematerialised_too(loaded, batch):
    inputs, gradients = tensors(loaded, batch), []
    loaded.train()
    for rematerialise in (False, True):
        if rematerialise:
            loaded.gradient_checkpointing_enable()
        loaded.zero_grad()
        loaded(**inputs, labels=inputs["input_ids"], use_cache=False).loss.backward()
        gradients.append({name: p.grad.clone() for name, p in loaded.named_parameters()})
    loaded.gradient_checkpointing_disable()
    loaded.zero_grad()
    loaded.eval()
    for name, gradient in gradients[0].items():
        assert torch.isfinite(gradient).all() and (gradient != 0).any(), name
        torch.testing.assert_close(gradient, gradients[1][name])


def test_compiled_it_gives_the_same(load, batch):
    reference = load(torch.float32)
    torch._dynamo.reset()
    found = logits(torch.compile(reference, backend="eager"), batch)
    np.testing.assert_allclose(found, logits(reference, batch), atol=1e-5)


def test_compiled_maps_give_the_same_outputs_and_gradients_for_other_images_too(load):
    """With the backend that separates forward and backward pass, but needs no C++ compiler."""
    maps = load(torch.float32).model.visual.blocks[1].mlp
    torch._dynamo.reset()
    compiled = torch.compile(maps, backend="aot_eager")
    for lengths in ([24, 16], [8], [12, 4, 20]):
        x, found = torch.rand(sum(lengths), VISION.hidden_size), []
        for call in (maps, compiled):
            maps.zero_grad()
            y = call(x, lengths)
            y.square().mean().backward()
            found.append([y.detach(), *(p.grad.clone() for p in maps.parameters())])
        torch.testing.assert_close(*found)


def test_autocast_leaves_gates_and_weights_in_float32(load):
    linear = dynamic_maps(load(torch.float32))[0]
    x = torch.rand(5, linear.inputs)
    with torch.no_grad():
        expected = linear.gates_and_weight(x)
        with torch.autocast("cpu", torch.bfloat16):
            y = linear(x, [5])
    gates, weight = expected[:2], expected[2].bfloat16()
    again = ((x * gates[0]).bfloat16() @ weight.T) * gates[1].bfloat16() + linear.bias.bfloat16()
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, again)


def test_saved_again_in_bfloat16_it_is_read_as_it_was(load, model, batch, tmp_path):
    first = load(torch.bfloat16)
    first.save_pretrained(tmp_path)
    found = skinflow_jax.load_pretrained(tmp_path)
    assert found.config.vision == model.config.vision
    rounded = jax.tree.map(lambda x: x.astype(jnp.float32), as_read(model, "bfloat16"))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(rounded), strict=True):
        np.testing.assert_array_equal(a, b)
