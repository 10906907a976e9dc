"""What an evaluation of a dynamic encoder tells of its gates."""

import functools
import json

import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, spread_model

from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.data.pipeline import evaluation_batches
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.models.config import DveConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.runs.cases import buckets, prepare_records
from skinflow_jax.runs.gates import evaluate_gates
from skinflow_jax.runs.opening import Policy

COUNT, GROUPS = 5, 4


class Words:
    """A tokenizer whose every prompt is an image and three words."""

    def render_chat(self, messages, *, add_generation_prompt):
        return "prompt"

    def encode(self, text):
        return [SHALLOW.image_token_id, 11, 12, 13]


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """Look at the gates of a model, into a folder."""
    data = DataConfig(
        count=2, max_pixels=84 * 84, options={"image_size": 84}, windows=(1,), prompt_lengths=(16,)
    )
    config = RunConfig(data=data, evaluation=EvaluationConfig(count=COUNT, batch_size=2))
    records = prepare_records(data, "heldout", COUNT, tmp_path_factory.mktemp("gates"))
    answers = [
        Prediction(
            *(records.case(i).case_id, "diagnosis", "", "acne", False),
            partitions={"ontology": "even" if i % 2 == 0 else "odd"},
        )
        for i in range(COUNT)
    ]

    def look(model, out):
        batches = functools.partial(
            evaluation_batches,
            *(records, Words(), model.config),
            batch_size=2,
            buckets=buckets(data, records),
        )
        policy = Policy(model, Words())
        return evaluate_gates(policy, config, records, batches, answers, out)

    return look


def dynamic(gates=("input", "output", "group")):
    return with_dve(spread_model(SHALLOW), DveConfig(groups=GROUPS, gates=gates))


def test_gates_that_listen_to_images_spread_and_differ_by_partition(looked, tmp_path):
    model = dynamic()
    kernel = model.vision.dynamic.mlp.down.group_gate.kernel
    kernel.set_value(jnp.ones_like(kernel[...]))
    found = looked(model, tmp_path)
    assert (found.images, found.cases, found.of) == (COUNT, COUNT, COUNT)
    assert all(found.spread[1, "down"] > 0)
    for name in ("gate", "up"):  # at exact identity
        np.testing.assert_array_equal(found.mean[1, name], np.ones(GROUPS))
        np.testing.assert_array_equal(found.spread[1, name], np.zeros(GROUPS))
    parts = found.partitions["ontology"]
    assert {name: part.images for name, part in parts.items()} == {"even": 3, "odd": 2}
    weighed = sum(part.images * part.difference[1, "down"] for part in parts.values())
    np.testing.assert_allclose(weighed, 0, atol=1e-6)
    assert json.loads((tmp_path / "gates.json").read_text()) == found.to_dict()


@pytest.mark.parametrize("model", [lambda: spread_model(SHALLOW), lambda: dynamic(("input",))])
def test_a_model_without_gates_of_groups_leaves_no_file(looked, tmp_path, model):
    (tmp_path / "gates.json").write_text("{}")  # of an earlier evaluation
    assert looked(model(), tmp_path) is None
    assert not (tmp_path / "gates.json").exists()
