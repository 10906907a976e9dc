"""Claims about labels as registries write them."""

import pytest

from skinflow_jax.data.sources.diagnosis_names import canonical_name, known_name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Melanoma, NOS", "melanoma"),
        ("Melanoma Invasive, Superficial spreading", "superficial spreading melanoma"),
        ("Malignant melanocytic proliferations (Melanoma)", "melanoma or melanoma in situ"),
        ("Nevus, Spitz", "Spitz naevus"),
        ("Nevus, Atypical, Dysplastic, or Clark", "dysplastic naevus"),
        ("Nevus, Balloon cell", "balloon cell naevus"),
        ("Basal cell carcinoma, Nodular", "nodular basal cell carcinoma"),
        ("Solar or actinic keratosis", "actinic keratosis"),
        ("Pigmented benign keratosis", "benign keratosis"),
        ("basal-cell-carcinoma", "basal cell carcinoma"),
        ("Squamous cell carcinoma in situ, Bowens disease", "Bowen disease"),
        ("Glomus tumor", "glomus tumour"),
        ("Benign", ""),
        ("Malignant", ""),
        ("Indeterminate", ""),
        ("", ""),
        ("(", ""),
    ],
)
def test_the_most_specific_reading_that_is_known_counts(label, name):
    assert known_name(label) == name


def test_what_the_ontology_does_not_know_stays_as_its_owner_writes_it():
    assert canonical_name("  Leaf   Rust ") == "Leaf Rust"


@pytest.mark.parametrize("label", [" " * 3000, "(" * 3000, "a, " * 3000, "a or " * 3000])
def test_a_long_label_takes_no_time(label):
    assert known_name(label) == ""
