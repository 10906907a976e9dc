"""Rewards that are nearly of a known form are refused: taken for another they would score 0."""

import json

import pytest

from skinflow_jax.data.pipeline import Example
from skinflow_jax.errors import ConfigError
from skinflow_jax.rl.reward_columns import ground_truth, trl_values
from skinflow_jax.rl.reward_forms import adapted


def of(source: str):
    names = {}
    exec(source, names)
    return next(value for name, value in names.items() if name == "score")


@pytest.mark.parametrize(
    "parameters",
    [
        "responses, answers",
        "queries, labels, **kwargs",
        "predicts, ground_truth",
        "predict, ground_truths",
        "data_sources, solution_strs, ground_truth, extra_infos",
        "data_source, solution_str, ground_truths, extra_info",
    ],
)
def test_names_of_two_forms_or_none_are_refused(parameters):
    with pytest.raises(ConfigError, match="a reward is"):
        adapted(of(f"def score({parameters}): return []"), "mine.py: score")


@pytest.mark.parametrize(
    "parameters",
    [
        "completions, examples",
        "texts, cases",
        "predicts, ground_truths",
        "predict, ground_truth",
        "data_source, solution_str, ground_truth, extra_info=None",
        "data_sources, solution_strs, ground_truths, extra_infos=None",
    ],
)
def test_the_names_of_one_form_are_taken(parameters):
    assert adapted(of(f"def score({parameters}): return []"), "mine.py: score")


def example(**changes):
    facts = {"case_id": "1", "task": "question", "caption": {}, "diagnosis": "", "attributes": {}}
    return Example(**(facts | {"images": ()} | changes))


def test_a_reward_compares_with_the_answer_that_is_taught():
    columns = {"answer": "long reasoning", "solution": "B", "ground_truth": "C"}
    assert ground_truth(example(answer="B", columns=columns)) == "B"
    assert ground_truth(example(columns={"ground_truth": "C"})) == "C"


def test_a_prompt_is_the_question_that_was_asked():
    """Though the row has a column of that name, of whatever type."""

    class Plain:
        messages = False
        process = type("Process", (), {"step": 1})()

        @staticmethod
        def takes(name):
            return False

    asked = example(prompt="<image>PROBLEM", columns={"prompt": [{"role": "user"}]})
    assert trl_values("text", asked, Plain)["prompts"] == "PROBLEM"


def test_a_reference_is_told_as_text_by_task():
    caption = {"colour": ["red"], "shape": "round"}
    assert example(answer="B").reference == "B"
    assert example(task="diagnosis", diagnosis="acne").reference == "acne"
    soft = example(task="diagnosis", diagnosis="acne", soft={"acne": 0.6, "rosacea": 0.4})
    assert json.loads(soft.reference) == {"acne": 0.6, "rosacea": 0.4}
    assert json.loads(example(task="caption", caption=caption).reference) == caption
