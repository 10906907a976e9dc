"""`evaluate --robustness`: what is refused, before weights are read, and what is asked."""

import json
import types

import numpy as np
import pytest

from skinflow_jax.command.line import parse
from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.errors import ConfigError
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.runs import robustness as runs_robustness
from skinflow_jax.runs.cases import prepare_records
from skinflow_jax.runs.robustness import Robust, degraded_records, evaluate_robustness

DATA = DataConfig(count=6, options={"image_size": 56}, max_pixels=56 * 56)
CONFIG = RunConfig(data=DATA, evaluation=EvaluationConfig(count=6, tasks=("diagnosis",)))
PHOTOGRAPHS = RunConfig(data=DataConfig(source="folder", data_root="/nowhere"))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return prepare_records(DATA, "heldout", 6, tmp_path_factory.mktemp("records"))


QUESTIONS = RunConfig(data=DATA, evaluation=EvaluationConfig(count=6, tasks=("question",)))


def cluttered(clutter):
    options = {"image_size": 56, "clutter": clutter}
    return RunConfig(data=DataConfig(count=6, options=options))


@pytest.mark.parametrize(
    ("config", "names", "message"),
    [
        (CONFIG, ("blur", "fog"), "--robustness='fog' is unknown: choose of clutter, blur, jpeg, "),
        (CONFIG, ("",), "--robustness='' is unknown"),
        (PHOTOGRAPHS, ("clutter",), "needs drawn cases: those of data.source=folder cannot be"),
        (QUESTIONS, (), "is of captions and diagnoses: evaluation.tasks=question asks for neither"),
        (cluttered(1.0), ("clutter",), "data.options.clutter=1 already, and there is no more"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(config, names, message):
    with pytest.raises(ConfigError) as error:
        Robust(names).check(config)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_all_that_the_cases_can_have_is_the_default():
    names = dict.fromkeys(each.name for each in Robust().conditions(DATA))
    assert list(names) == ["clutter", "blur", "jpeg", "darker", "brighter", "crop"]
    assert "clutter" not in {each.name for each in Robust().conditions(PHOTOGRAPHS.data)}
    assert [each.setting for each in Robust(("clutter",)).conditions(cluttered(0.5).data)] == [
        *(0.75, 1.0)
    ]


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("", None),
        ("--robustness", Robust((), 100)),
        ("--robustness=blur,jpeg,blur --robustness-cases=7", Robust(("blur", "jpeg"), 7)),
    ],
)
def test_the_command_line_asks_for_it(line, asked):
    arguments = parse(["evaluate", "--checkpoint=x", *line.split()])
    assert Robust.asked(arguments.robustness, arguments.robustness_cases) == asked


def test_a_number_of_cases_alone_is_refused():
    arguments = parse(["evaluate", "--checkpoint=x", "--robustness-cases=7"])
    with pytest.raises(ConfigError, match="--robustness-cases goes with --robustness"):
        Robust.asked(arguments.robustness, arguments.robustness_cases)


def test_some_cases_are_asked_as_they_are_and_under_every_level(records, tmp_path, monkeypatch):
    """A model stands in that says how bright an image is."""
    shown = []

    def batches_of(*, records):
        return lambda *, task: [records]

    def predict(model, batches, tokenizer, **_):
        [asked] = batches
        shown.append([record.case.case_id for record in asked])
        return [
            Prediction(
                *(record.case.case_id, "diagnosis", "…", "acne", True),
                diagnosis_reward=record.images[0].mean() / 255,
            )
            for record in asked
        ]

    monkeypatch.setattr(runs_robustness, "predict", predict)
    policy = types.SimpleNamespace(model=None, tokenizer=None)
    asked = Robust(("brighter", "clutter"), cases=4)
    found = evaluate_robustness(policy, CONFIG, records, batches_of, tmp_path / "out", asked)
    assert len(shown) == 9 and all(ids == shown[0] for ids in shown) and len(shown[0]) == 4
    told = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert told == found.to_dict() and (told["cases"], told["of"]) == (4, 6)
    brighter = [e["figures"]["diagnosis reward"]["value"] for e in told["levels"][4:]]
    assert told["own"]["diagnosis reward"]["value"] < brighter[0] < brighter[-1]


def test_clutter_draws_the_held_out_cases_anew(records):
    [*_, strongest] = Robust(("clutter",)).conditions(DATA)
    again = cluttered(1.0)
    built = prepare_records(again.data, "heldout", 6, records.folder.parent / "more")
    for found, expected in zip(degraded_records(records, strongest, CONFIG), built, strict=True):
        np.testing.assert_array_equal(found.images[0], expected.images[0])
