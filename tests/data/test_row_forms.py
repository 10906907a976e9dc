"""Cases written as rows of other stacks come back as the same cases."""

import numpy as np
import pytest

from skinflow_jax.command import line
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import build_records
from skinflow_jax.data.row_forms import FORMS, export_rows
from skinflow_jax.data.sources.catalogue import open_source
from skinflow_jax.data.tasks import TASKS, prompt_text, target_text
from skinflow_jax.errors import InputError


@pytest.mark.parametrize("form", FORMS)
def test_an_exported_case_is_read_again_as_it_was(form, records, tmp_path):
    count, left_out = export_rows(records, tmp_path / "rows", form=form, task="diagnosis")
    assert (count, left_out) == (len(records), [])
    again = open_source("jsonl", tmp_path / "rows", {"group_field": "group"})
    assert len(again) == len(records)
    for number in range(len(again)):
        case, record = again.case(number), records[number]
        diagnoses = records.manifest.diagnoses
        assert case.prompt == prompt_text("diagnosis", record.case)
        assert case.answer == target_text("diagnosis", record.case, diagnoses, 0)
        assert (case.case_id, case.group) == (record.case.case_id, record.case.group)
        np.testing.assert_array_equal(again.images(number), record.images)


def test_several_images_and_an_own_question_come_back(tmp_path, shaded_source):
    class Pairs(shaded_source):
        def case(self, index):
            import dataclasses

            prompt = "Before <image> and after <image>?"
            changes = {"views": ("", ""), "prompt": prompt, "answer": "it grew"}
            return dataclasses.replace(super().case(index), **changes)

        def images(self, index):
            return [*super().images(index), super().images(index + 1)[0]]

    budget = {"min_pixels": 56 * 56, "max_pixels": 112 * 168}
    build_records(Pairs(count=3), tmp_path / "set", fingerprint={}, **budget)
    records = RecordSet(tmp_path / "set")
    export_rows(records, tmp_path / "rows", form="ms-swift", task="question")
    again = open_source("jsonl", tmp_path / "rows")
    assert [again.case(i).prompt for i in range(3)] == ["Before <image> and after <image>?"] * 3
    for number in range(3):
        for ours, theirs in zip(again.images(number), records[number].images, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_cases_without_an_answer_are_named_and_an_export_of_none_is_refused(records, tmp_path):
    with pytest.raises(InputError, match=r"no case can be exported .* no prompt of its own"):
        export_rows(records, tmp_path / "rows", form="trl", task="question")
    assert not (tmp_path / "rows").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="not empty"):
        export_rows(records, tmp_path / "full", form="trl", task="diagnosis")


def test_the_command_line_offers_all_forms_and_tasks():
    assert (tuple(FORMS), tuple(TASKS)) == (line._FORMS, line._TASKS)
