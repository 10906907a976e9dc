"""Claims about the sentences that say why a diagnosis is unsafe."""

import itertools

import pytest

from skinflow_jax.clinical import ontology, relation
from skinflow_jax.clinical.safety_in_words import why_missed, why_unsafe


@pytest.mark.parametrize(
    ("prediction", "reference", "said"),
    [
        (
            "naevus",
            "melanoma",
            "is malignant; taken for melanocytic naevus, which is benign, it would be left",
        ),
        ("melanoma", "naevus", "it would be operated on with margins"),
        ("psoriasis", "tinea corporis", "needs antifungal treatment"),
        ("cellulitis", "pyoderma gangrenosum", "immunosuppression at once"),
        ("eczema", "scabies", "needs antiparasitic treatment"),
        ("urticaria", "scabies", "contagious"),
        ("cellulitis", "necrotising fasciitis", "within hours; cellulitis may wait for days"),
        ("insect bite", "erythema migrans", "antibacterial treatment within weeks"),
        ("xyz", "melanoma", "reads no disease in “xyz”"),
        ("skin cancer", "melanoma", "too broad"),
        ("", "melanoma", "No diagnosis was given."),
        ("melanoma", "no such disease", "does not know the true diagnosis"),
    ],
)
def test_the_rule_that_decided_is_named(prediction, reference, said):
    assert said in why_unsafe(prediction, reference)


def test_what_is_safe_has_no_reason():
    assert why_unsafe("melanoma", "melanoma") == why_unsafe("psoriasis", "lichen planus") == ""


def test_every_confusion_has_a_sentence_exactly_where_it_is_unsafe():
    names = [d.name for d in ontology().diseases.values() if d.answerable][::9]
    for prediction, reference in itertools.product(names, names):
        unsafe = relation(prediction, reference).safety != "none"
        assert bool(why_unsafe(prediction, reference)) is unsafe, (prediction, reference)


def test_hostile_names_are_repeated_short_and_printable():
    said = why_unsafe("\u202e\ud800\x00<script>" + "x" * 10_000, "melanoma")
    assert said.isprintable() and len(said) < 200


def test_what_is_at_stake_is_said_of_the_truth():
    assert "malignant" in why_missed("melanoma")["malignancy_missed"]
    assert "within hours" in why_missed("necrotising fasciitis")["urgent_missed"]
    assert why_missed("psoriasis") == why_missed("no such disease") == {}
