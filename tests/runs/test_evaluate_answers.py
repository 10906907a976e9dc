"""`skinflow evaluate` of files: the same figures as of a model's answers, and no JAX."""

import json
import subprocess
import sys

import pytest

from skinflow_jax.cli import main

ROWS = [
    {"index": 0, "answer": "melanoma", "prediction": "1. naevus\n2. melanoma"},
    {"index": 1, "answer": "acne", "prediction": "acne"},
    {"index": 2, "answer": "acne", "prediction": "The patient has acne, or:\n1. rosacea"},
]


@pytest.fixture
def answers(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def evaluated(answers, out, *more):
    assert main(["evaluate", f"--predictions={answers}", f"--out={out}", *more]) == 0
    return json.loads((out / "metrics.json").read_text())


def test_answers_of_another_system_are_evaluated_from_their_file(answers, tmp_path, capsys):
    found = evaluated(answers, tmp_path / "out", "--answers=lines")
    assert found["Top-1"]["value"] == pytest.approx(1 / 3)
    assert found["Top-2"]["value"] == pytest.approx(2 / 3)
    assert found["refused"] == {"not_list": 1} and found["missed malignancy"]["value"] == 1
    told = capsys.readouterr().out
    assert "Top-1 %" in told and "chosen on these very cases" in told
    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").open()]
    assert [row["text"] for row in rows] == [row["prediction"] for row in ROWS]
    assert [row["rank"] for row in rows] == [2, 1, None]


def test_what_was_written_is_evaluated_to_the_same_again(answers, tmp_path):
    path = tmp_path / "one" / "predictions.jsonl"
    first = evaluated(answers, path.parent, "--answers=lines")
    again = evaluated(path, tmp_path / "two", "--answers=lines")
    assert again == first
    assert (tmp_path / "two" / "predictions.jsonl").read_text() == path.read_text()


def test_two_evaluations_are_compared_on_their_common_cases(answers, tmp_path, capsys):
    evaluated(answers, tmp_path / "one", "--answers=lines")
    answers.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:2]))
    evaluated(answers, tmp_path / "two", "--answers=lines")
    capsys.readouterr()
    pair = f"--compare={tmp_path / 'one'},{tmp_path / 'two'}"
    assert main(["evaluate", pair, f"--out={tmp_path / 'both'}"]) == 0
    told = capsys.readouterr().out
    first = "compared on the 2 answers to 2 cases that both have; left out: 1 answers only in one"
    assert told.startswith(first) and "two - one, Top-1: +0.0 points" in told
    assert (tmp_path / "both" / "comparison.md").read_text().startswith(first)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--checkpoint=a", "--references=b"], "--references has no meaning with --checkpoint"),
        (["--checkpoint=a", "--ontology=b"], "--ontology has no meaning with --checkpoint"),
        (["--predictions=a", "--config.seed=1"], "--config.seed has no meaning with --predictions"),
        (["--predictions=a", "--dtype=float32"], "--dtype has no meaning with --predictions"),
        (["--compare=a,b", "--answers=json"], "--answers has no meaning with --compare"),
        (["--compare=a"], "is not two paths with a comma"),
        (["--checkpoint=a", "--compare=a,b"], "not allowed with argument"),
        ([], "one of the arguments --checkpoint --predictions --compare is required"),
        (["--predictions=gone.jsonl"], "gone.jsonl"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused_in_one_line(capsys, given, told):
    assert main(["evaluate", *given]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_it_imports_no_jax(answers):
    code = (
        "import sys; from skinflow_jax.cli import main; "
        f"main(['evaluate', '--predictions={answers}']); sys.exit('jax' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
