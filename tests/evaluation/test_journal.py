"""What is kept of an evaluation that has not ended, and when it is not believed."""

import json

import pytest

from skinflow_jax.evaluation.answers import Asked, evaluate_answer
from skinflow_jax.evaluation.journal import Journal

IDENTITY = {"weights": "a", "cases": "b", "config": {"seed": 0}}
TEXTS = ['{"diagnoses": ["melanoma", "acne"]}', "naïve\nanswer \ud800\x00", ""]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "predictions.partial.jsonl"


def predictions(number):
    asked = Asked(f"case {number}", "diagnosis", "melanoma")
    return [evaluate_answer(text, asked) for text in TEXTS]


def kept(path, batches=3, **other):
    journal = Journal(path, IDENTITY | other)
    for number in range(batches):
        journal.finished("diagnosis", number, predictions(number))
    return journal


def test_finished_batches_come_back_equal_by_their_part_and_number(path):
    assert kept(path).said == ""
    again = Journal(path, IDENTITY)
    assert [again.batch("diagnosis", i) for i in range(3)] == [predictions(i) for i in range(3)]
    assert again.batch("diagnosis", 3) is again.batch("diagnosis, exchanged", 0) is None
    assert again.said == f"going on after 3 finished batches of {path}"
    again.remove()
    again.remove()
    assert not path.exists()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"weights": "c"}, "another evaluation (other weights): begun anew"),
        ({"config": {"seed": 1}, "cases": ""}, "another evaluation (other cases, config): begun"),
    ],
)
def test_what_another_evaluation_kept_is_not_taken_and_it_is_said_why(path, other, named):
    kept(path)
    journal = Journal(path, IDENTITY | other)
    assert named in journal.said and journal.batch("diagnosis", 0) is None
    assert len(path.read_text().splitlines()) == 1
    assert Journal(path, IDENTITY).batch("diagnosis", 0) is None


@pytest.mark.parametrize("head", ["", "{", "[]", "null", '"\ud800"', "[" * 100_000])
def test_a_file_of_another_program_is_begun_anew(path, head):
    path.parent.mkdir()
    path.write_text(head + "\n", encoding="utf-8", errors="replace")
    journal = Journal(path, IDENTITY)
    assert "is of another" in journal.said and journal.batch("diagnosis", 0) is None
    assert "going on after 0" in Journal(path, IDENTITY).said


@pytest.mark.parametrize("length", [0, 1, 60, -1])
def test_a_line_that_was_cut_short_is_left_out_and_counted(path, length):
    kept(path)
    *whole, last = path.read_text().splitlines()
    path.write_text("\n".join([*whole, last[:length] if length else "{}"]))
    journal = Journal(path, IDENTITY)
    assert "going on after 2 finished batches" in journal.said
    assert journal.said.endswith("; 1 lines from a damaged one on are left out")
    assert journal.batch("diagnosis", 1) == predictions(1)
    # The batch is made again: its line follows whole ones.
    journal.finished("diagnosis", 2, predictions(2))
    assert Journal(path, IDENTITY).batch("diagnosis", 2) == predictions(2)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row["predictions"][0].update(rank=2),  # contradicts its reward
        lambda row: row["predictions"][0].update(rank="1"),
        lambda row: row["predictions"][0].update(unknown=1),
        lambda row: row["predictions"][0].pop("case_id"),
        lambda row: row.update(batch=1.5),
        lambda row: row.update(predictions=[7]),
        lambda row: row.pop("part"),
    ],
)
def test_nothing_after_a_damaged_line_is_believed(path, change):
    kept(path)
    lines = path.read_text().splitlines()
    row = json.loads(lines[2])
    change(row)
    path.write_text("\n".join([*lines[:2], json.dumps(row), lines[3], ""]))
    journal = Journal(path, IDENTITY)
    assert "after 1 finished" in journal.said and "; 2 lines from a damaged" in journal.said
    assert journal.batch("diagnosis", 2) is None
