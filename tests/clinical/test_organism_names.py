"""Claims about infections named by their organism: read as their disease, and as no other."""

import tomllib
from pathlib import Path

import pytest

import skinflow_jax.clinical
from skinflow_jax.clinical import ontology, read_name
from skinflow_jax.clinical.name_index import index_of

FILE = Path(skinflow_jax.clinical.__file__).with_name("organisms.toml")
ROWS = tomllib.loads(FILE.read_text(encoding="utf-8"))["organism"]
ORGANISMS = [name for row in ROWS for name in row["names"]]


def read(text):
    return read_name(text, ontology()).diseases


def test_every_organism_of_the_table_has_a_disease_and_no_organism_two():
    assert [row for row in ROWS if not any(map(read, row["infection"]))] == []
    assert len(set(ORGANISMS)) == len(ORGANISMS) >= 200


@pytest.mark.parametrize("frame", ["{} infection", "infection due to {}", "infection with {}"])
def test_an_infection_with_it_is_its_disease(frame):
    akin = index_of(ontology()).akin
    for row in ROWS:
        diseases = [disease for name in row["infection"] for disease in read(name)]
        for name in row["names"]:
            found = read(frame.format(name))
            assert len(found) == 1, name
            assert any(akin(found[0], disease) for disease in diseases), name


@pytest.mark.parametrize(
    "frame",
    [
        *("no {} infection", "{} infection?", "possible {} infection", "{} infection excluded"),
        *("history of {} infection", "{} negative", "{} infection or melasma", "{} vaccine"),
        *("{} infection vs eczema", "melasma with {} infection", "{} melanoma", "{} carrier"),
        *("{}-negative melanoma", "{} infection and melasma", "lichen planus due to {}"),
    ],
)
def test_what_denies_weakens_or_lists_is_refused_beside_an_organism(frame):
    assert [name for name in ORGANISMS if read(frame.format(name))] == []


@pytest.mark.parametrize(
    "text", ["staphylococcal infection", "Staph. aureus infection", "S. pyogenes infection", "VZV"]
)
def test_an_organism_of_many_diseases_names_a_class_that_is_no_answer(text):
    assert [disease.answerable for disease in read(text)] == [False]
