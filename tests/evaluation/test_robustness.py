"""What degraded images cost, from answers: figures, changes case by case, a table of 80 columns."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.robustness import FIGURES, Condition, robustness

BLUR = [Condition("blur", 1, 0.5, "sigma in %"), Condition("blur", 2, 1, "sigma in %")]
DARK = Condition("darker", 1, -0.5, "stops of exposure")


def answers(right, captions=0, reward=0.5):
    """40 diagnoses, the first `right` of them right, and some captions."""
    found = [
        Prediction(
            *(f"case {n}", "diagnosis", "…", "acne", True),
            rank=1 if n < right else None,
            diagnosis_reward=float(n < right),
            safety="none" if n < right else "critical",
        )
        for n in range(40)
    ]
    return found + [
        Prediction(f"case {n}", "caption", "{}", "{}", True, caption_reward=reward)
        for n in range(captions)
    ]


def test_a_level_has_the_figures_of_its_answers_and_the_changes_of_the_same_cases():
    under = {BLUR[0]: answers(30)[::-1], BLUR[1]: answers(10)}
    found = robustness(answers(30), under, of=300)
    first, second = found.levels
    assert found.own["Top-1 %"].value == first.figures["Top-1 %"].value == 0.75
    assert (first.changes["Top-1 %"].gained, first.changes["Top-1 %"].lost) == (0, 0)
    assert second.figures["critical or undetermined %"].value == 0.75
    change = second.changes["diagnosis reward"]
    assert (change.mean, change.gained, change.lost, change.n) == (-0.5, 0, 20, 40)
    assert change.beyond_interval and not first.changes["Top-1 %"].beyond_interval


def test_answers_to_other_questions_are_not_compared():
    with pytest.raises(ValueError, match="not to the same questions"):
        robustness(answers(30), {DARK: answers(30)[1:]}, of=300)


def test_what_is_written_is_json_that_has_every_figure_of_every_level():
    found = robustness(answers(30), {each: answers(20) for each in (*BLUR, DARK)}, of=300)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (told["version"], told["cases"], told["of"]) == (1, 40, 300)
    labels = [label.removesuffix(" %") for label in FIGURES]
    assert list(told["own"]) == labels
    assert told["own"]["caption reward"]["value"] is None and told["own"]["Top-1"]["value"] == 0.75
    assert [(each["name"], each["level"], each["setting"]) for each in told["levels"]] == [
        *(("blur", 1, 0.5), ("blur", 2, 1), ("darker", 1, -0.5))
    ]
    for each in told["levels"]:
        assert list(each["figures"]) == list(each["changes"]) == labels and each["unit"]
        assert each["changes"]["Top-1"]["lost"] == 10


@pytest.mark.parametrize("captions", [0, 40])
def test_the_table_fits_80_columns_and_says_how_many_cases_it_is_of(captions):
    under = {
        dataclasses.replace(DARK, name="brighter", setting=-1.5): answers(2, captions, 0.9),
        DARK: answers(40, captions, 0.1),
    }
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(robustness(answers(30, captions), under, of=300).table())
    text = console.export_text()
    assert "40 of 300 held-out cases" in text and "brighter: stops of exposure" in text
    assert "-70 [-83, -51]" in text and ("caption reward" in text) == bool(captions)
    for line in text.splitlines():  # a cell that wraps has its bracket on two lines
        assert line.count("[") == line.count("]"), line


def test_few_cases_are_marked():
    few = [p for p in answers(3) if p.case_id in ("case 0", "case 5")]
    assert "†: hardly anything is known" in robustness(few, {DARK: few}, of=300).markdown()
    assert "†" not in robustness(answers(3), {DARK: answers(3)}, of=300).markdown()
