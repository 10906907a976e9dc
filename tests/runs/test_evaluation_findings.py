"""What an evaluation within a run puts into TensorBoard, read back by TensorBoard's reader."""

import math
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import build_records
from skinflow_jax.data.sources import ProceduralSource
from skinflow_jax.evaluation.floor import floor_of
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.summary import summarise
from skinflow_jax.runs.evaluation_findings import SHOWN, evaluation_findings
from skinflow_jax.training.sinks import RunWriter


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    source = ProceduralSource(split="heldout", seed=0, count=20, image_size=56)
    folder = tmp_path_factory.mktemp("records")
    build_records(source, folder, min_pixels=3136, max_pixels=3136, fingerprint={})
    return RecordSet(folder)


@pytest.fixture(scope="module")
def predictions(records):
    cases = [records.case(number) for number in range(len(records))]
    return [
        Prediction(
            *(case.case_id, "diagnosis", "<b>bold</b> | answer", case.diagnosis, True),
            rank=1 if number % 2 else None,
            first="melanoma",
            diagnosis_reward=float(number % 2),
            safety="none",
        )
        for number, case in enumerate(cases)
    ]


def found_of(predictions, records):
    floor = floor_of([p.reference for p in predictions], [])
    return evaluation_findings(summarise(predictions, floor), records)


def test_figures_are_those_of_what_was_asked_and_the_text_has_intervals_and_counts(
    predictions, records
):
    found = found_of(predictions, records)
    assert found.figures["Top-1"] == 0.5 and "caption reward" not in found.figures
    assert not any(map(math.isnan, found.figures.values()))
    (line,) = [row for row in found.texts["eval/figures"].splitlines() if "Top-1 " in row]
    assert "50.0" in line and "[" in line and "20" in line


def test_the_same_few_cases_are_shown_whatever_was_answered(predictions, records):
    first = found_of(predictions, records)
    later = found_of([replace(p, text="new", first="acne") for p in predictions], records)
    rows = [found.texts["eval/answers"].splitlines()[2:] for found in (first, later)]
    assert [[row.split("|")[1] for row in each] for each in rows] == [
        [row.split("|")[1] for row in rows[0]]
    ] * 2
    assert len(rows[0]) == SHOWN and "new" in rows[1][0]
    one, two = (found.images["eval/gallery"][0] for found in (first, later))
    assert one.shape == two.shape and (one[:128] == two[:128]).all() and (one != two).any()


def test_tensorboard_gets_them_and_renders_no_answer(predictions, records, tmp_path):
    found = found_of(predictions, records)
    with RunWriter(tmp_path) as writer:
        writer.findings(5, found)
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0, "tensors": 0}).Reload()
    assert events.Tags()["images"] == ["eval/gallery/0"]
    (answers,) = events.Tensors("eval/answers")
    html = markdown_to_safe_html(answers.tensor_proto.string_val[0].decode())
    assert answers.step == 5 and "<b>" not in html and html.count("<tr>") == SHOWN + 1
    # A thousand evaluations of this size are a hundred megabytes.
    assert sum(path.stat().st_size for path in (tmp_path / "tensorboard").iterdir()) < 200_000
