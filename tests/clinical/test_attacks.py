"""Claims about tricks, a table of each kind: none earns more than the honest answer without it.

In the tables, `entries` are what a model writes between the quotes of a list of diagnoses, with
";;" between two; where there are none, `text` is the whole answer. <U+000A> is that character as it
is, unescaped. `at_most` is the most that the answer may earn; what `why` calls honest must earn
it.
"""

import csv
import json
import re
from pathlib import Path

import pytest

from skinflow_jax.clinical import caption_reward, diagnosis_reward


def rows(name):
    """The rows of a table beside this file."""
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def completion(row):
    """The answer that a row stands for."""
    text = row["text"]
    if row.get("entries"):
        text = '{"diagnoses": ["' + '", "'.join(row["entries"].split(";;")) + '"]}'
    return re.sub(r"<U\+([0-9A-F]{4,6})>", lambda match: chr(int(match[1], 16)), text)


def check(earned, most, row):
    """The table has six digits."""
    assert earned <= most + 1e-5, row
    if row["why"].startswith("honest"):
        assert earned == pytest.approx(most, abs=1e-5), row


DIAGNOSES, CAPTIONS = rows("attacks_diagnoses.csv"), rows("attacks_captions.csv")
BY_ROW = [f"row {number}" for number in range(2, 2 + max(len(DIAGNOSES), len(CAPTIONS)))]


@pytest.mark.parametrize("row", DIAGNOSES, ids=BY_ROW[: len(DIAGNOSES)])
def test_no_trick_with_diagnoses_pays(row):
    text, most = completion(row), float(row["at_most"])
    check(diagnosis_reward(text, row["reference"]), most, row)
    # The same rank in the other scale: 1/p of (7 - p)/6.
    reciprocal = most and 1 / (7 - 6 * most)
    check(diagnosis_reward(text, row["reference"], scale="reciprocal"), reciprocal, row)


@pytest.mark.parametrize("row", CAPTIONS, ids=BY_ROW[: len(CAPTIONS)])
def test_no_trick_with_captions_pays(row):
    earned = caption_reward(completion(row), json.loads(row["reference"]))
    check(earned, float(row["at_most"]), row)


def test_the_tables_hold_as_many_kinds_of_tricks_as_they_should():
    assert len({row["why"] for row in DIAGNOSES}) >= 150
    assert len({row["why"] for row in CAPTIONS}) >= 80
