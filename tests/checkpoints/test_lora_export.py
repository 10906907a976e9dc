"""A model with adapters leaves as a plain one, and its checkpoints keep them apart."""

import dataclasses

import jax
import numpy as np
import pytest
from random_model import SHALLOW, listening, spread_model

from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.checkpoints.run_state import RunCheckpoints, load_model, named_leaves
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import LoraConfig
from skinflow_jax.models.lora import merged, with_lora
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
from skinflow_jax.training.state import abstract_state, create_state

LORA = LoraConfig(rank=3, alpha=16.0, vision=True)
OPTIMIZER = make_optimizer(OptimizerConfig(), 10)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def model():
    return listening(with_lora(spread_model(SHALLOW), LORA))


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with RunCheckpoints(folder) as checkpoints:
        checkpoints.save(4, create_state(model, OPTIMIZER), facts={})
    return folder


def test_the_exported_folder_holds_the_merged_weights(model, tmp_path):
    save_pretrained(model, tmp_path / "out")
    found, expected = load_pretrained(tmp_path / "out"), merged(model)
    assert dataclasses.replace(found.config, name=expected.config.name) == expected.config
    parameters = named_leaves(found)
    for name, array in named_leaves(expected).items():
        # The export folds a layer at a time, so sums may round in another order.
        np.testing.assert_allclose(parameters[name], array, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_transformers_computes_what_the_adapted_model_does(
    make_pair, batch_of, logits_of_reference, tmp_path
):
    from transformers import Qwen2_5_VLForConditionalGeneration

    from skinflow_jax.models.forward import forward_logits

    _, base = make_pair(SHALLOW)
    model, batch = listening(with_lora(base, LORA)), batch_of([[(6, 10)], []])
    save_pretrained(model, tmp_path / "out")
    reference = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    expected, found = logits_of_reference(reference, batch), forward_logits(model, **batch.arrays())
    real = batch.attention_mask.astype(bool)
    assert np.abs(found[real] - forward_logits(base, **batch.arrays())[real]).max() > 0.1
    # As in test_transformers_parity, and the sum of kernel and product rounds once more.
    np.testing.assert_allclose(found[real], expected[real], rtol=0, atol=4e-5)


def test_a_run_checkpoint_keeps_the_adapters_apart(model, run):
    assert_same(load_model(run), model)
    state = create_state(model, OPTIMIZER)
    with RunCheckpoints(run) as checkpoints:
        restored, _, _ = checkpoints.restore(abstract_state(model, OPTIMIZER))
    assert_same(restored.opt_state, state.opt_state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lora": None},
            r"model.lora is LoraConfig\(rank=3.*in the checkpoint, None in the config",
        ),
        ({"lora": LoraConfig(rank=5)}, r"model.lora is LoraConfig\(rank=3.*rank=5"),
    ],
)
def test_a_run_with_adapters_is_not_resumed_without_them(run, changes, message):
    model = spread_model(dataclasses.replace(SHALLOW, **changes))
    with RunCheckpoints(run) as checkpoints, pytest.raises(InputError, match=message):
        checkpoints.restore(abstract_state(model, OPTIMIZER))


def test_a_run_of_one_half_is_not_resumed_as_another(tmp_path):
    halves = [dataclasses.replace(SHALLOW, trainable=half) for half in ("vision", "language")]
    trained, other = map(spread_model, halves)
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(1, create_state(trained, OPTIMIZER), facts={})
        checkpoints.wait()
        message = "model.trainable is vision in the checkpoint, language in the config"
        with pytest.raises(InputError, match=message):
            checkpoints.restore(abstract_state(other, OPTIMIZER))
