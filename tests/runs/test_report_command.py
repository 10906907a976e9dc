"""Claims about `skinflow report`: what it finds near an evaluation, and what it says."""

import dataclasses
import json

import numpy as np
import pytest

from skinflow_jax.cli import main
from skinflow_jax.config import load_config
from skinflow_jax.data.pipeline import Example
from skinflow_jax.evaluation.answers import evaluate_answer
from skinflow_jax.evaluation.predictions import write_predictions
from skinflow_jax.runs.cases import prepare_records

COUNT = 4


def answered(case, *names):
    image = (np.zeros((1, 1, 3), np.uint8),)
    text = json.dumps({"diagnoses": names})
    return evaluate_answer(text, Example(case, "diagnosis", {}, "melanoma", {}, image))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run's folder: drawn records, and an evaluation of them and of a case that is not there."""
    folder = tmp_path_factory.mktemp("run")
    data = dataclasses.replace(load_config("debug_sft").data, source="procedural", count=COUNT)
    records = prepare_records(data, "heldout", COUNT, folder / "records")
    cases = [records.case(i).case_id for i in range(COUNT)]
    predictions = [answered(case, "psoriasis", "melanoma") for case in (*cases, "<gone>")]
    write_predictions(predictions, folder / "eval" / "10" / "predictions.jsonl")
    return folder


def test_it_finds_the_images_of_a_run_and_names_the_one_that_is_gone(workdir, capsys):
    evaluation = workdir / "eval" / "10"
    assert main(["report", f"--evaluation={evaluation}", "--images"]) == 0
    said = capsys.readouterr().out
    assert "1 of 5 cases have no image" in said and "<gone>" in said
    assert f"written: {evaluation / 'report.html'}" in said
    text = (evaluation / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == COUNT
    assert "1 of 5 cases have no image" in text and "no image of this case was found" in text
    assert "synthetic lesions" in text and "digest" in text


def test_without_images_none_leave_the_house(workdir, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    assert main(["report", f"--evaluation={workdir / 'eval' / '10'}", f"--out={out}"]) == 0
    assert "data:image" not in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--evaluation={tmp}/none"], "none/predictions.jsonl"),
        (["--evaluation={run},{run},{run},{run}"], "give one to 3"),
        (["--evaluation={run}", "--images", "--records={tmp}"], "holds no records"),
        (["--evaluation="], "the path is empty"),
        ([], "--evaluation"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(workdir, tmp_path, capsys, arguments, said):
    places = {"run": workdir / "eval" / "10", "tmp": tmp_path}
    assert main(["report", *(a.format(**places) for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_images_without_records_near_are_asked_for_by_name(tmp_path, capsys):
    folder = tmp_path / "a" / "b" / "c" / "d" / "e"
    write_predictions([answered("case", "melanoma")], folder / "predictions.jsonl")
    assert main(["report", f"--evaluation={folder}", "--images"]) == 2
    assert "name them by --records=FOLDER" in capsys.readouterr().err
