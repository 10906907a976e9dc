"""Every tensor of the published 7B checkpoint has one home, and every parameter is filled."""

import dataclasses
import itertools
import json
import math
import operator
from collections import defaultdict

import jax
import pytest
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from skinflow_jax.checkpoints.hf_folder import read_folder
from skinflow_jax.checkpoints.hf_import import find
from skinflow_jax.checkpoints.names import canonical_name, hf_slots
from skinflow_jax.models.config import model_config
from skinflow_jax.models.vlm import abstract_model


@pytest.fixture(scope="module")
def folder(test_data):
    return test_data / "qwen2_5_vl_7b"


@pytest.fixture(scope="module")
def index(folder):
    return json.loads((folder / "model.safetensors.index.json").read_text())


@pytest.fixture(scope="module")
def shapes_in_transformers(folder):
    with torch.device("meta"):
        reference = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_pretrained(folder))
    return {canonical_name(name): tuple(t.shape) for name, t in reference.state_dict().items()}


def test_the_7b_index_and_the_table_list_the_same_tensors(folder, index):
    assert set(hf_slots(read_folder(folder).config)) == set(index["weight_map"])


def test_every_7b_tensor_has_the_shape_of_its_parameter_both_ways(folder, shapes_in_transformers):
    config = read_folder(folder).config
    model = abstract_model(config)
    for name, slot in hf_slots(config).items():
        shape = find(model, slot.path).shape[0 if slot.index is None else 1 :]
        expected = shapes_in_transformers[name]
        assert slot.tensor_shape(shape, name, config) == expected, name
        axes = slot.stored_axes(shape)
        assert sorted(axes) == list(range(len(shape))), name
        stored = [shape[axis] for axis in axes]
        assert math.prod(stored) == math.prod(expected), name
        assert expected[0] in itertools.accumulate(stored, operator.mul), name


def test_the_7b_tensors_fill_every_parameter_exactly_once(folder, index):
    config = read_folder(folder).config
    places = defaultdict(list)
    for slot in hf_slots(config).values():
        places[slot.path].append(slot.index)
    model = abstract_model(config)
    parameters = 0
    for path, indices in places.items():
        variable = find(model, path)
        parameters += variable.size
        if indices != [None]:
            assert sorted(indices) == list(range(variable.shape[0])), path
    # The index counts bytes of bfloat16.
    assert parameters == sum(leaf.size for leaf in jax.tree.leaves(model))
    assert parameters * 2 == index["metadata"]["total_size"]


def test_the_published_config_is_the_size_of_that_name(folder):
    found = read_folder(folder).config
    assert dataclasses.replace(found, name="qwen2_5_vl_7b") == model_config("qwen2_5_vl_7b")
