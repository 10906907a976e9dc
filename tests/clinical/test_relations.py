"""Claims about how a predicted diagnosis relates to the true one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical import ONTOLOGY, relation
from skinflow_jax.errors import InputError

NAMES = [name for d in ONTOLOGY.values() for name in (d.name, *d.synonyms)]


@pytest.mark.parametrize(
    ("prediction", "reference", "kind"),
    [
        ("Melanoma.", "melanoma", "exact"),
        ("melanoma\n", "melanoma", "exact"),
        ("nevi", "naevus", "exact"),
        ("MEL", "melanoma", "synonym"),
        ("atopic eczema", "atopic dermatitis", "synonym"),
        ("nodular melanoma", "melanoma", "subclass"),
        ("eczema", "atopic dermatitis", "subclass"),
        ("seborrheic keratosis", "bkl", "subclass"),
        ("Bowen's disease", "squamous cell carcinoma", "subclass"),
        ("nevus", "melanoma", "sibling"),
        ("basal cell carcinoma", "squamous cell carcinoma", "sibling"),
        ("melasma", "melanoma", "unrelated"),
        ("not melanoma", "melanoma", "unrelated"),
        ("melanoma or nevus", "melanoma", "unrelated"),
        ("e", "melanoma", "unrelated"),
        ("", "melanoma", "invalid"),
        ("?!", "melanoma", "invalid"),
    ],
)
def test_kinds(prediction, reference, kind):
    found = relation(prediction, reference)
    assert found.kind == kind
    assert found.accepted == (kind in ("exact", "synonym", "subclass"))


@pytest.mark.parametrize(
    "broad", ["skin disease", "tumour", "Tumor", "dermatitis", "skin cancer", "infection", "rash"]
)
@pytest.mark.parametrize("reference", ["melanoma", "atopic dermatitis", "impetigo", "BCC"])
def test_a_class_too_broad_is_never_accepted(broad, reference):
    assert not relation(broad, reference).accepted


@pytest.mark.parametrize(
    ("prediction", "reference", "critical"),
    [
        ("naevus", "melanoma", True),
        ("melanoma", "naevus", True),
        ("psoriasis", "tinea corporis", True),
        ("scabies", "atopic dermatitis", True),
        ("basal cell carcinoma", "melanoma", False),
        ("actinic keratosis", "squamous cell carcinoma", False),
        ("psoriasis", "lichen planus", False),
        ("melanoma", "nodular melanoma", False),
        ("gibberish", "melanoma", False),
        ("", "melanoma", False),
    ],
)
def test_crossing_benign_and_malignant_or_infection_is_safety_critical(
    prediction, reference, critical
):
    assert relation(prediction, reference).safety_critical is critical


def test_management_agrees_where_the_first_step_is_the_same():
    assert relation("SCC", "melanoma").management_consistent
    assert relation("tinea pedis", "tinea corporis").management_consistent
    assert not relation("psoriasis", "tinea corporis").management_consistent
    assert not relation("skin cancer", "infection").management_consistent


def test_a_name_outside_the_ontology_equals_only_itself():
    assert relation("Zoon Balanitis!", "zoon balanitis").kind == "exact"
    assert relation("balanitis", "zoon balanitis").kind == "unrelated"


def test_an_empty_reference_is_an_error():
    with pytest.raises(InputError, match="reference diagnosis is empty"):
        relation("melanoma", " ")


@given(st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_relations_are_symmetric_and_nothing_accepted_is_safety_critical(a, b):
    found = relation(a, b)
    assert found == relation(b, a)
    assert not (found.accepted and found.safety_critical)


@given(st.text())
def test_any_prediction_gets_a_verdict(text):
    assert not relation(text, "Zoon balanitis of nowhere").accepted
