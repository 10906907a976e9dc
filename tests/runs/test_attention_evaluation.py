"""`evaluate --attention`: what is looked at, beside which controls, and what is written."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from random_model import SHALLOW, spread_model

from skinflow_jax.command.line import parse
from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.data.pipeline import evaluation_batches
from skinflow_jax.errors import ConfigError
from skinflow_jax.evaluation.attention_files import read_attention
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.runs.attention import check_attention, evaluate_attention
from skinflow_jax.runs.cases import buckets, prepare_records
from skinflow_jax.runs.opening import Policy

COUNT = 5


class Letters:
    """A tokenizer of letters; a prompt is an image and three words."""

    def render_chat(self, messages, *, add_generation_prompt):
        return "prompt"

    def encode(self, text):
        if text == "prompt":
            return [SHALLOW.image_token_id, 11, 12, 13]
        return [10 + ord(letter) for letter in text]

    def decode(self, ids, *, skip_special=True):
        return "".join(chr(i - 10) for i in ids)


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attention")
    data = DataConfig(
        count=2, max_pixels=84 * 84, options={"image_size": 84}, windows=(1,), prompt_lengths=(16,)
    )
    config = RunConfig(data=data, evaluation=EvaluationConfig(count=COUNT, batch_size=2))
    records = prepare_records(data, "heldout", COUNT, folder)
    policy = Policy(spread_model(SHALLOW), Letters())
    diagnoses = [
        Prediction(
            records.case(i).case_id,
            "diagnosis",
            '{"diagnoses": ["acne"]}',
            "acne",
            True,
            first="acne",
        )
        for i in range(COUNT)
    ]
    batches = functools.partial(
        evaluation_batches,
        *(records, policy.tokenizer, SHALLOW),
        batch_size=2,
        buckets=buckets(data, records),
    )
    evaluate_attention(policy, config, records, batches, diagnoses, folder, cases=COUNT - 1)
    return records, folder


def test_so_many_cases_are_looked_at_and_each_has_its_mask(looked):
    records, folder = looked
    told, cases = json.loads((folder / "attention.json").read_text()), read_attention(folder)
    assert told["cases"] == len(cases) == COUNT - 1
    ids = {records.case(i).case_id for i in range(COUNT)}
    assert {case.case_id for case in cases} < ids
    assert told["without a mask"] == told["without a first diagnosis in the answer"] == 0
    masks = {records.case(i).case_id: records[i].mask.mean() for i in range(COUNT)}
    for case in cases:
        np.testing.assert_allclose(case.covered.mean(), masks[case.case_id], atol=1e-3)
    inside = told["figures"]["diagnosis"]["rollout"]["inside"]
    assert inside["n"] == COUNT - 1 and inside["low"] <= inside["value"] <= inside["high"]


def test_controls_are_of_the_same_cases_with_their_own_masks(looked):
    _, folder = looked
    told = json.loads((folder / "attention.json").read_text())
    assert list(told["controls"]) == ["images exchanged", "random weights"]
    own = told["figures"]["prompt"]["mean"]
    for control in told["controls"].values():
        other = control["figures"]["prompt"]["mean"]
        assert other["area"]["value"] == pytest.approx(own["area"]["value"])
        assert control["less own"]["prompt"]["mean"]["inside"]["n"] == COUNT - 1
        assert other["inside"]["value"] != own["inside"]["value"]
    even = told["controls"]["random weights"]["figures"]["prompt"]["mean"]
    assert even["entropy"]["value"] > 0.99 > own["entropy"]["value"]
    assert even["ratio"]["value"] == pytest.approx(1, abs=0.1)


def test_every_layer_and_key_head_has_its_own_figures(looked):
    told = json.loads((looked[1] / "attention.json").read_text())["layers"]
    for query in ("prompt", "diagnosis"):
        for name in ("image", "entropy", "inside"):
            figures = np.array(told[query][name], float)
            text = SHALLOW.text
            assert figures.shape == (text.num_layers, text.num_kv_heads, 3)
            assert len(np.unique(figures[..., 0])) == figures[..., 0].size


def test_looking_at_diagnoses_needs_diagnoses():
    evaluation = EvaluationConfig(tasks=("caption",))
    config = dataclasses.replace(RunConfig(), evaluation=evaluation)
    with pytest.raises(ConfigError, match=r"--config\.evaluation\.tasks=caption,diagnosis"):
        check_attention(config, 10)
    check_attention(config, 0)


@pytest.mark.parametrize(
    "given, cases", [([], None), (["--attention"], 500), (["--attention=20"], 20)]
)
def test_a_number_of_cases_may_be_given(given, cases):
    assert parse(["evaluate", "--checkpoint=x", *given]).attention == cases


@pytest.mark.parametrize("value", ["0", "-3", "many", ""])
def test_another_value_is_refused(value):
    with pytest.raises(ConfigError, match=r"--attention: .* is not a whole number above 0"):
        parse(["evaluate", "--checkpoint=x", f"--attention={value}"])
