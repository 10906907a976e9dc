"""Claims about caption targets that tables state: every mapping is into the schema it is for."""

import pytest
from small_sets import derm7pt

from skinflow_jax.clinical import CLINICAL, load_schema
from skinflow_jax.data.sources.catalogue import open_source
from skinflow_jax.data.sources.derm7pt_criteria import CRITERIA, FIELD
from skinflow_jax.data.sources.skincon_concepts import CONCEPTS, caption_of_concepts
from skinflow_jax.errors import InputError


def test_every_concept_of_skincon_has_its_place(test_data):
    names = (test_data / "data/reference_terms/skincon_concepts.txt").read_text().splitlines()
    owners = {name.strip() for name in names if name.strip()} - {"Do not consider this image"}
    assert set(CONCEPTS) == owners


def test_concepts_become_canonical_values_or_nothing():
    stated = [pair for pair in CONCEPTS.values() if pair]
    assert len(stated) == len(set(stated)) == 24
    assert all(value in CLINICAL.fields[field].values for field, value in stated)
    assert caption_of_concepts(["Erythema", "Scale", "Salmon", "Cyst", "Other"]) == {
        "colour": ["red", "pink"],
        "surface": "scaly",
    }


def test_every_label_of_a_criterion_is_a_value_of_the_dermoscopic_field():
    field = load_schema("dermoscopy").fields[FIELD]
    stated = {v for labels in CRITERIA.values() for values in labels.values() for v in values}
    assert stated == set(field.values)


def test_derm7pt_states_its_criteria_when_it_is_asked_to(tmp_path):
    derm7pt(tmp_path, regression_structures="combinations", vascular_structures="absent")
    plain = open_source("derm7pt", tmp_path).case(0)
    assert plain.caption == {"location": "back"}
    case = open_source("derm7pt", tmp_path, {"criteria": True}).case(0)
    assert case.caption == {
        "location": "back",
        FIELD: [
            "atypical pigment network",
            "irregular streaks",
            "blue regression areas",
            "white regression areas",
        ],
    }
    load_schema("dermoscopy").canonical_fields(case.caption)


def test_a_label_of_a_criterion_that_is_not_known_is_refused_by_its_row(tmp_path):
    derm7pt(tmp_path, streaks="wavy")
    with pytest.raises(InputError, match=r"row 2: streaks is 'wavy', expected one of absent, reg"):
        open_source("derm7pt", tmp_path, {"criteria": True}).case(0)
