"""What is counted and shown of records."""

import numpy as np

from skinflow_jax.data.contact_sheet import _in_turn, contact_sheet
from skinflow_jax.data.counts import counts


def test_cases_are_counted_by_diagnosis_skin_type_and_images(records):
    found = counts(records.case(i) for i in range(len(records)))
    assert sum(found["diagnosis"].values()) == len(records)
    assert found["fitzpatrick"] == {"1": 2, "2": 2, "3": 2, "4": 2, "5": 2, "6": 1}
    assert found["images"] == {"1": len(records)}
    assert "licence" not in found


def test_a_sheet_shows_rare_diagnoses_before_many_of_one():
    assert _in_turn(["a", "a", "a", "b", "c", "b"]) == [4, 3, 0, 5, 1, 2]


def test_a_sheet_shows_the_images(records):
    sheet = np.asarray(contact_sheet(records, most=6, columns=3))
    assert sheet.shape == (2 * 162, 3 * 132, 3)
    shades = {int(records[i].images[0][0, 0, 0]) for i in range(len(records))}
    shown = {
        int(sheet[162 * row + 20, 132 * column + 20, 0]) for row in (0, 1) for column in (0, 1, 2)
    }
    assert len(shown) > 3 and shown <= shades
