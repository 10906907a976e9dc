"""Claims about predictions.jsonl: what is written comes back, a wrong line is named."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.predictions import Prediction, read_predictions, write_predictions


def joined(text):
    """Halves of a surrogate pair side by side are one character to any reader of JSON."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


ANY = st.text(st.characters(codec=None, categories=None)).map(joined)
FULL = Prediction(
    *("case 1", "diagnosis", '{"diagnoses": ["naevus"]}', "melanoma", True),
    group="patient 7",
    diagnosis_reward=0.0,
    graded_score=0.0,
    first="naevus",
    safety="critical",
    management_consistent=False,
    known=True,
    malignancy_missed=True,
    malignancy_missed_in_six=True,
    urgent_missed=True,
    references={"melanoma": 0.75, "Spitz naevus": 0.25},
    skin_type=4,
    quality="3 Potentially mislabelled",
    source="fitzpatrick17k",
    licence="CC-BY",
    partitions={"ontology": "melanocytic", "nine_partition": "malignant melanoma"},
    ontology="0" * 64,
    log_prob=-1.25,
    tokens=9,
    confidence=0.75,
)


def test_every_field_comes_back(tmp_path):
    path = tmp_path / "new" / "predictions.jsonl"
    rows = [FULL, Prediction("b", "caption", "", "{}", False, "empty", caption_reward=0.0)]
    write_predictions(rows, path)
    assert read_predictions(path) == rows
    assert all(json.loads(line)["version"] == 1 for line in path.read_text().splitlines())


@given(text=ANY, name=ANY)
def test_any_text_comes_back_and_stays_on_its_line(tmp_path_factory, text, name):
    path = tmp_path_factory.mktemp("p") / "predictions.jsonl"
    rows = [Prediction(name, task, text, text, True, first=text) for task in ("diagnosis",)]
    rows += [Prediction(name, "question", text, text, True, group=text)]
    write_predictions(rows, path)
    assert read_predictions(path) == rows
    assert len(path.read_text(encoding="ascii").splitlines()) == 2


@pytest.mark.parametrize(
    ("critical", "first", "safety"),
    [(True, "naevus", "critical"), (False, "naevus", "none"), (False, None, "undetermined")],
)
def test_a_file_of_before_there_were_versions_is_read(tmp_path, critical, first, safety):
    old = {
        **{"case_id": "a", "task": "diagnosis", "text": "", "reference": "melanoma"},
        **{"valid": first is not None, "caption_reward": None, "rank": None, "first": first},
        **{"safety_critical": critical, "equal": None, "group": ""},
    }
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(old) + "\n")
    [found] = read_predictions(path)
    assert (found.safety, found.safety_critical) == (safety, critical)
    assert found.ontology is None and found.malignancy_missed is None


LINE = {
    "version": 1,
    "case_id": "a",
    "task": "caption",
    "text": "",
    "reference": "{}",
    "valid": True,
}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "no JSON object"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"case_id": "a", "case_id": "b"}', "no JSON object"),
        (json.dumps(LINE | {"version": 2}), "version 2 is not known here"),
        (json.dumps(LINE | {"colour": 1}), "has the unknown key colour"),
        (json.dumps({k: v for k, v in LINE.items() if k != "text"}), "lacks text"),
        (json.dumps(LINE | {"valid": "yes"}), "valid is 'yes'"),
        (json.dumps(LINE | {"rank": True}), "rank is True"),
        (json.dumps(LINE | {"rank": 1.5}), "rank is 1.5"),
        (json.dumps(LINE | {"rank": 0}), "rank is 0"),
        (json.dumps(LINE | {"rank": 7}), "rank is 7"),
        (json.dumps(LINE | {"skin_type": 9}), "skin_type is 9"),
        (json.dumps(LINE | {"caption_reward": 1.5}), "caption_reward is 1.5"),
        (json.dumps(LINE | {"caption_reward": math.nan}), "NaN is no number"),
        (json.dumps(LINE | {"partitions": {"a": 1}}), "partitions is {'a': 1}"),
        (json.dumps(LINE | {"version": True}), "version True is not known"),
        (json.dumps(LINE | {"task": "guess"}), "task is 'guess'"),
        (json.dumps(LINE | {"safety": "fine"}), "safety is 'fine'"),
        (json.dumps(LINE | {"malignancy_missed": 1}), "malignancy_missed is 1"),
        (json.dumps(LINE | {"log_prob": 0.5}), "log_prob is 0.5"),
        (json.dumps(LINE | {"tokens": 0}), "tokens is 0"),
        (json.dumps(LINE | {"confidence": 1.5}), "confidence is 1.5"),
        (json.dumps(LINE | {"references": {"a": 0}}), "references is {'a': 0}"),
        (json.dumps(LINE | {"references": {"a": True}}), "references is {'a': True}"),
        (json.dumps(LINE | {"refusal": "tired"}), "refusal is 'tired'"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(tmp_path, line, told):
    path = tmp_path / "predictions.jsonl"
    path.write_text("\n" + json.dumps(LINE | {"case_id": "z"}) + "\n" + line + "\n")
    with pytest.raises(InputError, match=r"predictions\.jsonl, line 3: ") as caught:
        read_predictions(path)
    assert told in str(caught.value) and "\n" not in str(caught.value)


RIGHT = dataclasses.replace(
    FULL,
    text='{"diagnoses": ["melanoma"]}',
    **{"rank": 1, "rank_strict": 1, "rank_any": 1, "diagnosis_reward": 1.0, "graded_score": 1.0},
    **{"first": "melanoma", "safety": "none", "management_consistent": True},
    **dict.fromkeys(("malignancy_missed", "malignancy_missed_in_six", "urgent_missed"), False),
)
REFUSED = dataclasses.replace(
    FULL, valid=False, refusal="not_json", first=None, safety="undetermined", confidence=None
)
CAPTION = Prediction("a", "caption", "", "{}", False, "empty", caption_reward=0.0)


@pytest.mark.parametrize(
    ("row", "changed", "told"),
    [
        (RIGHT, {"safety": "critical"}, "rank is 1 and safety critical"),
        (RIGHT, {"safety": "undetermined"}, "rank is 1 and safety undetermined"),
        (RIGHT, {"refusal": "not_json"}, "valid and was refused"),
        (RIGHT, {"diagnosis_reward": None}, "rank 1 has no diagnosis_reward"),
        (RIGHT, {"diagnosis_reward": 0.5}, "diagnosis_reward is 0.5, and rank 1 is worth 1"),
        (FULL, {"diagnosis_reward": 0.5}, "diagnosis_reward is 0.5, and no rank is worth 0"),
        (RIGHT, {"graded_score": 0.5}, "graded_score is less"),
        (RIGHT, {"malignancy_missed": True}, "rank is 1 and malignancy_missed true"),
        (RIGHT, {"urgent_missed": True}, "rank is 1 and urgent_missed true"),
        (
            RIGHT,
            {"urgent_missed": None, "over_triaged": True},
            "rank is 1 and over_triaged true",
        ),
        (RIGHT, {"malignancy_missed_in_six": True}, "malignancy_missed_in_six true"),
        (RIGHT, {"known": False}, "of a reference that the ontology does not know"),
        (RIGHT, {"first": None}, "a valid diagnosis has a first one"),
        (RIGHT, {"rank_any": None}, "rank_any is None and rank 1"),
        (RIGHT, {"references": {}}, "rank_any is of several references"),
        (FULL, {"rank_strict": 2}, "rank_strict is 2 and rank None"),
        (FULL, {"malignancy_missed": False}, "missed in six and not by the first"),
        (FULL, {"malignancy_missed": None}, "come together"),
        (FULL, {"over_triaged": True}, "urgent or it can wait"),
        (FULL, {"references": {"melanoma": 0.5}}, "do not sum to 1"),
        (FULL, {"references": {"acne": 1.0}}, "reference is not among references"),
        (FULL, {"tokens": None}, "log_prob and tokens come together"),
        (FULL, {"caption_reward": 1.0}, "has no caption_reward"),
        (FULL, {"equal": False}, "has no equal"),
        (REFUSED, {"refusal": None}, "no refusal says why"),
        (REFUSED, {"safety": "none"}, "has a rank or is not undetermined"),
        (REFUSED, {"rank": 2, "diagnosis_reward": 5 / 6}, "has a rank or is not undetermined"),
        (REFUSED, {"management_consistent": True}, "a management that is consistent"),
        (REFUSED, {"confidence": 0.5}, "has a confidence"),
        (CAPTION, {"caption_reward": 0.5}, "a refused caption has a caption_reward"),
        (CAPTION, {"rank": 1}, "a caption has no rank"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(tmp_path, row, changed, told):
    path = tmp_path / "predictions.jsonl"
    write_predictions([row], path)
    assert read_predictions(path) == [row]
    write_predictions([dataclasses.replace(row, **changed)], path)
    with pytest.raises(InputError, match=r"predictions\.jsonl, line 1: .*evaluate the") as caught:
        read_predictions(path)
    assert told in str(caught.value)


def test_a_case_is_answered_once_a_task_and_by_one_ontology(tmp_path):
    path = tmp_path / "predictions.jsonl"
    write_predictions([FULL, CAPTION, dataclasses.replace(FULL, case_id="\x1b[2J")] * 2, path)
    with pytest.raises(InputError, match=r"line 4: the diagnosis of case case 1 is on line 1 too"):
        read_predictions(path)
    other = dataclasses.replace(FULL, case_id="b", ontology="1" * 64)
    write_predictions([FULL, other], path)
    with pytest.raises(InputError, match=r"line 2: another ontology .* than that of line 1"):
        read_predictions(path)


def test_a_last_line_that_is_cut_short_is_named_and_the_others_counted(tmp_path):
    path = tmp_path / "predictions.jsonl"
    write_predictions([FULL, CAPTION], path)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match=r"line 2: is cut short; 1 whole rows stand before it"):
        read_predictions(path)
    write_predictions([FULL, CAPTION], path)
    path.write_text(path.read_text()[:-1])
    assert read_predictions(path) == [FULL, CAPTION], "only the end of the line is missing"


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    path = tmp_path / "predictions.jsonl"
    with pytest.raises(InputError, match="give a predictions"):
        read_predictions(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is no text in UTF-8"):
        read_predictions(path)
