"""Claims about the report's section on degraded images."""

import copy
import json
import re

import pytest
from degraded_answers import CONDITIONS, told
from synthetic_answers import captions, diagnoses, evaluation, joined

from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.predictions import write_predictions
from skinflow_jax.evaluation.report.evaluations import join, read_evaluations
from skinflow_jax.evaluation.report.page import page
from skinflow_jax.evaluation.report.robustness import degraded


def shown(robustness):
    (found,) = degraded([evaluation(diagnoses(20), robustness=robustness)])
    return found


def test_a_curve_a_degradation_and_a_row_a_level():
    found = shown(told())
    assert [curve["name"] for curve in found["curves"]] == ["blur", "darker"]
    for curve, levels in zip(found["curves"], (3, 2), strict=True):
        assert curve["svg"].count('class="dot ') == 2 * (1 + levels)  # beside the image as it is
        assert "Top-1 and critical or undetermined by level" in curve["svg"]
    rows = [row["setting"] for group in found["groups"] for row in group["rows"]]
    assert rows == [f"{each.setting:g}" for each in CONDITIONS]


def test_the_table_has_the_numbers_of_the_file():
    levels = told()
    figure, change = (levels["levels"][2][part]["Top-1"] for part in ("figures", "changes"))
    text = page(joined(diagnoses(20), robustness=levels))
    assert f"{100 * figure['value']:.1f} %" in text
    sign = "+" if change["mean"] >= 0 else "−"
    assert f"{sign}{abs(100 * change['mean']):.1f}" in text
    assert "20 of 60 held-out cases" in text


def test_a_change_whose_interval_leaves_zero_out_is_bold():
    levels = told()
    levels["levels"][0]["changes"]["Top-1"] |= {"mean": -0.2, "low": -0.3, "high": -0.1}
    levels["levels"][1]["changes"]["Top-1"] |= {"mean": -0.2, "low": -0.3, "high": 0.1}
    first, second = shown(levels)["groups"][0]["rows"][:2]
    assert [row["changes"][0]["sure"] for row in (first, second)] == [True, False]


def test_captions_alone_have_a_table_and_no_curve():
    found = shown(told(task="caption"))
    assert found["labels"] == ["caption reward"] and found["curves"] == []
    text = page(joined(captions(20), robustness=told(task="caption")))
    assert "Under degraded images" in text


def test_without_the_file_there_is_no_section():
    text = page(joined(diagnoses(20)))
    assert 'id="robustness"' not in text and 'href="#robustness"' not in text


def test_of_two_evaluations_the_one_that_has_it_is_named():
    runs = [
        evaluation(diagnoses(20), "plain"),
        evaluation(diagnoses(20), "hazy", robustness=told()),
    ]
    assert [found["run"] for found in degraded(runs)] == ["hazy"]
    assert 'id="robustness"' in page(join(runs))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda known: known.pop("own"),
        lambda known: known.update(levels=7),
        lambda known: known["levels"][0].pop("unit"),
        lambda known: known["levels"][0]["figures"].pop("Top-1"),
        lambda known: known["levels"][0]["figures"]["Top-1"].update(value=None),
        lambda known: known["levels"][1]["changes"]["Top-1"].update(mean="much"),
        lambda known: known["levels"][1].update(setting="dark"),
    ],
)
def test_a_damaged_file_is_named(spoil):
    known = copy.deepcopy(told())
    spoil(known)
    with pytest.raises(InputError, match=r"robustness\.json is damaged"):
        shown(known)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "is no JSON"), ("[]", "no JSON object"), ('{"version": 2}', "2")]
)
def test_a_file_that_is_none_or_of_a_later_version_is_named(tmp_path, text, says):
    write_predictions(diagnoses(2), tmp_path / "predictions.jsonl")
    path = tmp_path / "robustness.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{says}"):
        read_evaluations([tmp_path])
    path.write_text(json.dumps(told(2)))
    (found,) = read_evaluations([tmp_path]).evaluations
    assert found.robustness == told(2)


def test_names_with_markup_are_shown_as_text():
    known = told()
    for level in known["levels"]:
        level["name"], level["unit"] = "<script>x</script>", "</svg><b>\u202e"
    text = page(joined(diagnoses(20), robustness=known))
    assert "<script>x" not in text and "<b>" not in text and "\u202e" not in text
