"""Claims about the folders that a report is made of."""

import re

import numpy as np
import pytest
from synthetic_answers import diagnoses, diagnosis, joined

from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.predictions import write_predictions
from skinflow_jax.evaluation.report.attention import read_attention
from skinflow_jax.evaluation.report.calibration import calibrations
from skinflow_jax.evaluation.report.evaluations import read_evaluations
from skinflow_jax.evaluation.report.figures import majority


def written(folder, predictions):
    write_predictions(predictions, folder / "predictions.jsonl")
    return folder


def test_an_evaluation_is_named_after_its_run_and_step(tmp_path):
    folders = [written(tmp_path / "stage2" / "eval" / step, diagnoses(2)) for step in ("10", "20")]
    found = read_evaluations(folders)
    assert [e.name for e in found.evaluations] == ["stage2, step 10", "stage2, step 20"]


def test_evaluations_that_would_have_one_name_are_named_by_their_paths(tmp_path):
    folders = [written(tmp_path / a / "result", diagnoses(2)) for a in "ab"]
    assert [e.name for e in read_evaluations(folders).evaluations] == list(map(str, folders))


def test_a_case_that_is_there_twice_is_refused_by_name(tmp_path):
    folder = written(tmp_path, [*diagnoses(3), *diagnoses(1)])
    with pytest.raises(InputError, match="case-0"):
        read_evaluations([folder])


def test_a_line_that_is_cut_off_is_named(tmp_path):
    path = written(tmp_path, diagnoses(3)) / "predictions.jsonl"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_evaluations([tmp_path])


def test_nothing_to_read_is_named(tmp_path):
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "predictions.jsonl"))):
        read_evaluations([tmp_path])
    (tmp_path / "predictions.jsonl").write_text("")
    with pytest.raises(InputError, match=r"predictions\.jsonl"):
        read_evaluations([tmp_path])


def test_figures_over_no_cases_are_no_reason_to_refuse_metrics(tmp_path):
    written(tmp_path, diagnoses(2))
    nothing = '{"majority baseline": {"label": "acne", "accuracy": {"value": NaN}}}'
    (tmp_path / "metrics.json").write_text(nothing)
    (found,) = read_evaluations([tmp_path]).evaluations
    assert majority(found.metrics) == ""


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_damaged_metrics_are_named(tmp_path, text):
    written(tmp_path, diagnoses(2))
    (tmp_path / "metrics.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"metrics\.json"):
        read_evaluations([tmp_path])


def test_damaged_calibration_is_named():
    told = {"calibration": {"bins": [{"value": 1}]}}
    with pytest.raises(InputError, match="calibration"):
        calibrations(joined(diagnoses(2), metrics=told).evaluations)


def test_four_evaluations_are_too_many(tmp_path):
    with pytest.raises(InputError, match="4 folders: give one to 3"):
        read_evaluations([tmp_path] * 4)


def test_runs_that_share_no_case_cannot_be_compared():
    with pytest.raises(InputError, match="share no case"):
        joined(diagnoses(1), [diagnosis("another", ["melanoma"], "melanoma")])


def test_runs_that_disagree_on_the_truth_cannot_be_compared():
    with pytest.raises(InputError, match=r"case-0.*another truth"):
        joined(diagnoses(1), [diagnosis("case-0", ["melanoma"], "scabies")])


def attention_arrays(**changed):
    """Two cases; the first has two images, of 2 x 3 and 1 x 2 tokens, the second one of 1 x 2."""
    maps = np.arange(2 * 2 * 10, dtype=np.float16).reshape(2, 2, 10)
    maps[1, :, 8:] = np.nan  # no first diagnosis
    whole = {
        "version": np.int32(1),
        "case_ids": np.array(["a", "b"]),
        "images": np.array([2, 1], np.int32),
        "grids": np.array([[2, 3], [1, 2], [1, 2]], np.int32),
        "maps": maps,
    }
    return {name: value for name, value in (whole | changed).items() if value is not None}


def test_attention_is_that_of_the_first_diagnosis_on_the_first_image_or_else_of_the_prompt(
    tmp_path,
):
    np.savez(tmp_path / "attention.npz", **attention_arrays())
    found = read_attention(tmp_path).maps
    assert found["a"].tolist() == [[20, 21, 22], [23, 24, 25]]
    assert found["b"].tolist() == [[8, 9]]


@pytest.mark.parametrize(
    "changed",
    [
        {"maps": None},
        {"maps": np.zeros((2, 2, 9))},
        {"maps": np.zeros(10)},
        {"case_ids": np.array(["a"])},
        {"case_ids": np.array(["a", "b"], object)},
        {"version": np.int32(2)},
    ],
)
def test_damaged_or_later_attention_is_named(tmp_path, changed):
    np.savez(tmp_path / "attention.npz", **attention_arrays(**changed))
    with pytest.raises(InputError, match=r"attention\.npz"):
        read_attention(tmp_path)


def test_attention_that_is_no_archive_is_named(tmp_path):
    (tmp_path / "attention.npz").write_bytes(b"PK\x03\x04 not whole")
    with pytest.raises(InputError, match=r"attention\.npz"):
        read_attention(tmp_path)
