"""The protocol: how one answer is evaluated, and what is written down."""

import dataclasses
import json

import numpy as np
import pytest

from skinflow_jax.data.pipeline import Example
from skinflow_jax.evaluation.answers import Likelihood, evaluate_answer
from skinflow_jax.evaluation.predictions import write_predictions

CAPTION = {"colour": "red", "shape": "round"}


def example(task, caption=None, diagnosis="melanoma"):
    return Example("case-1", task, caption or {}, diagnosis, {}, (np.zeros((1, 1, 3), np.uint8),))


def diagnoses(*names):
    return json.dumps({"diagnoses": list(names)})


@pytest.mark.parametrize(
    ("names", "rank", "safety_critical"),
    [
        (("melanoma", "psoriasis"), 1, False),
        (("Melanoma.",), 1, False),
        (("psoriasis", "melanoma"), 2, True),
        (("psoriasis", "psoriasis", "melanoma"), 2, True),
        (("basal cell carcinoma",), None, True),
        (("Merkel cell carcinoma",), None, False),
        (("psoriasis",), None, True),
    ],
)
def test_a_diagnosis_is_evaluated_by_its_first_accepted_rank(names, rank, safety_critical):
    result = evaluate_answer(diagnoses(*names), example("diagnosis"))
    assert (result.valid, result.rank, result.safety_critical) == (
        True,
        rank,
        safety_critical,
    )
    assert result.first is not None and result.case_id == "case-1"


@pytest.mark.parametrize("text", ["", "melanoma", "{", '{"diagnoses": []}', '["melanoma"]'])
def test_an_answer_out_of_form_counts_as_wrong_and_not_as_safety_critical(text):
    result = evaluate_answer(text, example("diagnosis"))
    assert (result.valid, result.rank, result.first) == (False, None, None)
    assert not result.safety_critical and result.text == text


def test_a_caption_is_evaluated_field_by_field_and_zero_out_of_form():
    def reward(text):
        result = evaluate_answer(text, example("caption", CAPTION))
        return result.caption_reward, result.valid

    assert reward(json.dumps(CAPTION)) == (1.0, True)
    half, valid = reward('{"colour": "red"}')
    assert 0 < half < 1 and valid
    assert reward("red and round") == (0.0, False)


@pytest.mark.parametrize("task", ["caption", "diagnosis", "question"])
def test_the_group_of_a_case_goes_with_its_prediction(task):
    asked = dataclasses.replace(example(task, CAPTION), group="patient 7")
    assert evaluate_answer("", asked).group == "patient 7"


def test_a_caption_that_nothing_is_known_of_is_not_scored():
    result = evaluate_answer(json.dumps(CAPTION), example("caption"))
    assert result.caption_reward is None and result.valid


def test_predictions_are_written_one_json_object_a_line(tmp_path):
    texts = [diagnoses("melanoma"), "naïve\nanswer"]
    path = tmp_path / "new" / "predictions.jsonl"
    write_predictions([evaluate_answer(text, example("diagnosis")) for text in texts], path)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == texts
    assert [row["rank"] for row in rows] == [1, None]
    assert all(row["reference"] == "melanoma" for row in rows)


def test_a_diagnosis_is_also_evaluated_strictly_graded_by_management_and_by_any_reference():
    weights = {"melanoma": 0.6, "psoriasis": 0.4}
    asked = dataclasses.replace(example("diagnosis"), soft=weights)
    found = evaluate_answer(diagnoses("psoriasis", "nodular melanoma", "melanoma"), asked)
    assert (found.rank, found.rank_strict, found.rank_any) == (2, 3, 1)
    assert found.references == weights and not found.management_consistent
    assert found.graded_score == found.diagnosis_reward == pytest.approx(5 / 6)
    one = evaluate_answer(diagnoses("malignant melanoma"), example("diagnosis"))
    assert (one.rank, one.rank_strict, one.rank_any) == (1, 1, None)
    assert one.management_consistent and one.references == {}


def test_a_harmless_sibling_has_half_of_its_rank_in_the_graded_score_alone():
    found = evaluate_answer(
        diagnoses("lichen nitidus"), example("diagnosis", diagnosis="lichen planus")
    )
    assert (found.rank, found.diagnosis_reward, found.graded_score) == (None, 0.0, 0.5)


def test_facts_of_the_case_and_the_likelihood_of_the_answer_go_with_the_prediction():
    facts = {"fitzpatrick": 7, "quality": "good", "source": "a", "licence": "", "age": 70}
    asked = dataclasses.replace(example("diagnosis"), attributes=facts)
    found = evaluate_answer(diagnoses("acne"), asked, Likelihood(-2.0, 5, 0.5))
    assert (found.skin_type, found.quality, found.source, found.licence) == (
        None,
        "good",
        "a",
        None,
    )
    assert (found.log_prob, found.tokens, found.confidence) == (-2.0, 5, 0.5)
    assert evaluate_answer("acne", asked, Likelihood(-2.0, 5, 0.5)).confidence is None
