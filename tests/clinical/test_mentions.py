"""Claims about which words of a description give a diagnosis away."""

import pytest
from counted_lines import lines_run
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical import find, ontology
from skinflow_jax.clinical.mentions import PLAIN, mentions_disease
from skinflow_jax.clinical.wording import normalise


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a nodule typical of basal-cell carcinomas", "basal cell carcinoma"),
        ("looks like BCC", "basal cell carcinoma"),
        ("looks like BCC.", "basal cell carcinoma"),
        ("a scaly plaque of psoriasis vulgaris on the elbow", "psoriasis vulgaris"),
        ("Bowen's disease", "Bowen disease"),
        ("melanoma", "melanoma"),
        ("pigmented naevi", "naevus"),
        ("seborrheic keratoses", "seborrhoeic keratosis"),
    ],
)
def test_a_diagnosis_in_whole_words_is_found_in_text(text, name):
    assert mentions_disease(text) == find(name).name


@pytest.mark.parametrize(
    "text",
    [
        "a scaly plaque with telangiectasia and erythema",
        "ten red papules with a crust, a scar and an ulcer",
        "dry skin with purpura, oedema and a blister; a bruise and a burn below",
        "AD 2024, all of them",
        "an inflammatory skin disease",
        "a tan macule, striae and hair loss",
        "warty surface, honey-coloured crusts",
        "melanomatous",
        "",
        "\ud800\x00",
    ],
)
def test_plain_description_gives_no_diagnosis_away(text):
    assert mentions_disease(text) is None


def test_an_abbreviation_counts_as_it_is_written_in_the_ontology():
    assert mentions_disease("ten lesions") is None
    assert mentions_disease("early TEN") == find("toxic epidermal necrolysis").name
    assert mentions_disease("the bcc") is None


def test_every_name_of_an_answerable_disease_counts_unless_it_is_plain_description():
    for disease in ontology().diseases.values():
        if disease.answerable and normalise(disease.name) not in PLAIN:
            found = mentions_disease(f"this is {disease.name} here")
            assert found is not None, disease.name


@given(st.text())
def test_any_text_is_searched(text):
    assert mentions_disease(text) is None or mentions_disease(text) in ontology().diseases


@pytest.mark.parametrize("piece", ["lichen ", "cell ", "epidermolysis bullosa simplex with ", "a"])
def test_searching_takes_time_linear_in_the_text(piece):
    mentions_disease("builds the index")
    once = lines_run(mentions_disease, piece * 1000)
    assert lines_run(mentions_disease, piece * 2000) <= 2.2 * once
