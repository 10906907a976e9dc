"""Claims about completions that no reward can read: each is counted once, by the reason."""

import numpy as np

from skinflow_jax.clinical import Refusal
from skinflow_jax.data.pipeline import Example
from skinflow_jax.rl.refusals import as_metrics, refusals

IMAGES = (np.zeros((28, 28, 3), np.uint8),)
GOOD = '{"diagnoses": ["acne"]}'
CAPTION = '{"colour": "red"}'


def examples(*tasks):
    return [Example("case", task, {}, "acne", {}, IMAGES) for task in tasks]


def test_each_refused_completion_is_counted_by_its_code_and_questions_take_any_text():
    found = refusals(
        [[GOOD, "acne", "", "acne"], [CAPTION, GOOD, '{"colour": "acne"}', "\0"], ["acne", "", ""]],
        examples("diagnosis", "caption", "question"),
    )
    assert found == {
        Refusal.NOT_JSON: 2,
        Refusal.EMPTY: 1,
        Refusal.UNKNOWN_KEY: 1,
        Refusal.NAMES_DISEASE: 1,
        Refusal.BAD_CHARACTER: 1,
    }


def test_metrics_have_every_code_and_add_up_what_processes_found():
    one, none = refusals([["", "acne"]], examples("diagnosis")), refusals([], [])
    metrics = as_metrics([one, none, one])
    assert set(metrics) == {"refused/all", *(f"refused/{code.value}" for code in Refusal)}
    assert metrics["refused/all"] == 4
    assert metrics["refused/empty"] == metrics["refused/not_json"] == 2
    assert metrics["refused/too_long"] == 0
