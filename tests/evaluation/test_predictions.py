"""Claims about predictions.jsonl: what is written comes back, a wrong line is named."""

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
    first="naevus",
    safety="critical",
    known=True,
    malignancy_missed=True,
    malignancy_missed_in_six=True,
    urgent_missed=True,
    skin_type=4,
    partitions={"ontology": "melanocytic", "nine_partition": "malignant melanoma"},
    ontology="0" * 64,
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
    rows = [Prediction(name, "question", text, text, True, first=text)] * 2
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
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(tmp_path, line, told):
    path = tmp_path / "predictions.jsonl"
    path.write_text("\n" + json.dumps(LINE) + "\n" + line + "\n")
    with pytest.raises(InputError, match=r"predictions\.jsonl, line 3: ") as caught:
        read_predictions(path)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    path = tmp_path / "predictions.jsonl"
    with pytest.raises(InputError, match="give a predictions"):
        read_predictions(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is no text in UTF-8"):
        read_predictions(path)
