"""Claims about answers and references in files: whose rows are read, what is refused and how."""

import json

import pytest

from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.answer_files import joined, read_answers, read_references
from skinflow_jax.evaluation.answers import Asked, Likelihood, evaluate_answer
from skinflow_jax.evaluation.predictions import write_predictions

LIST = '["melanoma"]'


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def told(path):
    return [(a.case_id, a.text) for a in read_answers(path)[0]]


def test_rows_of_this_program_and_of_two_evaluation_harnesses_are_read(tmp_path):
    ours = jsonl(tmp_path / "a.jsonl", {"case_id": "x", "text": LIST})
    assert told(ours) == [("x", LIST)]
    nested = {"doc_id": 0, "target": "naevus", "resps": [[LIST]], "filtered_resps": [LIST]}
    lmms = jsonl(tmp_path / "b.jsonl", nested)
    assert told(lmms) == [("0", LIST)]
    assert read_references(lmms)[0][0].diagnosis == "naevus"
    tsv = tmp_path / "c.tsv"
    tsv.write_text('index\tanswer\tprediction\n7\tnaevus\t"1. acne\n2. naevus"\n8\tacne\t\n')
    assert told(tsv) == [("7", "1. acne\n2. naevus"), ("8", "")]
    assert [r.diagnosis for r in read_references(tsv)[0]] == ["naevus", "acne"]
    array = tmp_path / "d.json"
    array.write_text(json.dumps([{"id": "y", "prediction": ["acne", "naevus"]}]))
    assert told(array) == [("y", '["acne", "naevus"]')]


def test_our_own_predictions_are_answers_and_references_too(tmp_path):
    path = tmp_path / "predictions.jsonl"
    facts = {"fitzpatrick": 4, "quality": "good", "nine_partition": "x"}
    asked = Asked("a", "diagnosis", "acne", "p", facts)
    written = evaluate_answer('{"diagnoses": ["acne"]}', asked, Likelihood(-1.0, 3, 0.5))
    caption = evaluate_answer("{}", Asked("a", "caption"))
    write_predictions([written, caption], path)
    (answer,), remarks = read_answers(path)
    (reference,), _ = read_references(path)
    assert remarks == [f"{path}: 1 rows of other tasks are left out"]
    assert evaluate_answer(answer.text, reference, answer.likelihood) == written


def test_what_references_say_of_a_case_goes_with_it(tmp_path):
    row = {"case_id": "a", "diagnosis": {"acne": 3, "rosacea": 1}, "group": 7, "skin_type": "2"}
    row |= {"partitions": {"nine_partition": "x"}, "quality": "good", "source": "clinic"}
    (found,), _ = read_references(jsonl(tmp_path / "r.jsonl", row))
    assert (found.diagnosis, found.soft) == ("acne", {"acne": 0.75, "rosacea": 0.25})
    made = evaluate_answer("", found)
    assert (made.group, made.skin_type, made.quality, made.source) == ("7", 2, "good", "clinic")
    assert made.partitions["nine_partition"] == "x"


@pytest.mark.parametrize(
    ("row", "remedy"),
    [
        ({"case_id": None, "text": ""}, "case_id is None: give the id"),
        ({"case_id": True, "text": ""}, "case_id is True: give the id"),
        ({"case_id": "a", "text": None}, "text is None: give the answer as text"),
        ({"case_id": "a", "filtered_resps": ["a", "b"]}, "it holds 2 answers"),
        ({"case_id": "a", "text": "", "confidence": 2}, "confidence is 2.0: give a probability"),
        ({"case_id": "a", "text": "", "log_prob": -1}, "stands with whole tokens"),
        ({"case_id": "a", "text": "", "log_prob": "x"}, "log_prob is 'x': give a number"),
        ({"case_id": "a"}, "has no answer: name its column text or"),
        ({"text": "a"}, "has no case id: name its column case_id or"),
        (
            {"case_id": "a", "text": "", "version": 2, "task": "", "reference": ""},
            "version 2 is not",
        ),
    ],
)
def test_a_wrong_row_of_answers_is_named_with_the_remedy(tmp_path, row, remedy):
    with pytest.raises(InputError) as caught:
        read_answers(jsonl(tmp_path / "answers.jsonl", row))
    assert remedy in str(caught.value) and "answers.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "remedy"),
    [
        ({"case_id": "a", "diagnosis": ""}, "give a diagnosis, a list"),
        ({"case_id": "a", "diagnosis": []}, "give a diagnosis, a list"),
        ({"case_id": "a", "diagnosis": {"acne": -1}}, "give a diagnosis, a list"),
        ({"case_id": "a", "diagnosis": "acne", "skin_type": 7}, "skin_type is 7: give a whole"),
        ({"case_id": "a", "diagnosis": "acne", "skin_type": "\x1b"}, r"'\x1b': give a whole"),
        ({"case_id": "a", "diagnosis": "acne", "source": [1]}, "source is [1]: give text"),
        ({"case_id": "a"}, "has no reference: name its column diagnosis or"),
    ],
)
def test_a_wrong_reference_is_named_with_the_remedy(tmp_path, row, remedy):
    with pytest.raises(InputError) as caught:
        read_references(jsonl(tmp_path / "references.jsonl", row))
    assert remedy in str(caught.value) and "references.jsonl" in str(caught.value)


def test_a_file_that_is_cut_short_absent_empty_or_of_another_kind_is_named(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"case_id": "a", "text": ""})
    path.write_text(path.read_text() + '{"case_id": "b", "te')
    with pytest.raises(InputError, match=r"a\.jsonl line 2: is no JSON .*it may be cut short"):
        read_answers(path)
    for name in ("none.jsonl", "none.json", "none.csv"):
        with pytest.raises(InputError, match=name):
            read_answers(tmp_path / name)
    (tmp_path / "e.jsonl").write_text("\n")
    with pytest.raises(InputError, match="has no rows"):
        read_answers(tmp_path / "e.jsonl")
    with pytest.raises(InputError, match=r"must end in \.jsonl"):
        read_answers(tmp_path / "a.xlsx")


def cases(*names):
    return [Asked(name, "diagnosis", "acne") for name in names]


def test_ids_that_are_unknown_missing_or_repeated_are_counted_and_the_first_five_named(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", *({"case_id": n, "text": ""} for n in [*range(9), "\x1b"]))
    answers, _ = read_answers(path)
    with pytest.raises(InputError, match=r"9 answers have no reference: 1, 2, 3, 4, 5, …: add"):
        joined(answers, cases("0"), missing_are_invalid=False)
    known = cases(*map(str, range(9)), "\x1b")
    with pytest.raises(InputError, match=r"2 references have no answer: x, y: answer them, or"):
        joined(answers, [*known, *cases("x", "y")], missing_are_invalid=False)
    with pytest.raises(InputError, match=r"1 ids are those of several answers: \\x1b: give one"):
        joined([*answers, answers[-1]], known, missing_are_invalid=False)
    with pytest.raises(InputError, match="1 ids are those of several references: 3"):
        joined(answers, [*known, known[3]], missing_are_invalid=False)


def test_missing_answers_count_as_invalid_where_that_is_asked_for(tmp_path):
    answers, _ = read_answers(jsonl(tmp_path / "a.jsonl", {"case_id": "b", "text": LIST}))
    pairs, missing = joined(answers, cases("a", "b"), missing_are_invalid=True)
    assert missing == 1 and [(a.text, r.case_id) for a, r in pairs] == [("", "a"), (LIST, "b")]
    assert evaluate_answer(pairs[0][0].text, pairs[0][1]).refusal == "empty"
