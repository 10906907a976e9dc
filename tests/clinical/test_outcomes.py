"""Claims about what a ranked list means for the patient."""

import pytest

from skinflow_jax.clinical import ontology, outcome

MISSED = {"malignancy_missed": True, "malignancy_missed_in_six": True}


def fields(ranked, reference):
    return outcome(ranked, reference)._asdict()


@pytest.mark.parametrize(
    ("ranked", "reference", "expected"),
    [
        (
            ["melanoma", "naevus"],
            "melanoma",
            {"rank": 1, "safety": "none", "malignancy_missed": False, "urgent_missed": False},
        ),
        (
            ["naevus", "melanoma"],
            "melanoma",
            {
                **{"rank": 2, "safety": "critical", "malignancy_missed": True},
                **{"malignancy_missed_in_six": False, "urgent_missed": True},
            },
        ),
        # Another malignancy leads to a biopsy.
        (["BCC"], "melanoma", {"malignancy_missed": False, "urgent_missed": True}),
        (["xyz"] * 6, "melanoma", {"safety": "undetermined", "urgent_missed": True, **MISSED}),
        ([], "melanoma", {"rank": None, "safety": "undetermined", "urgent_missed": True, **MISSED}),
        (["skin cancer"], "melanoma", {"safety": "undetermined", **MISSED}),
        (["naevus"], "lentigo maligna", MISSED),
        (["eczema"], "actinic keratosis", {"malignancy_missed": None}),
        (["cellulitis"], "necrotising fasciitis", {"urgent_missed": True, "over_triaged": None}),
        (["necrotising fasciitis"], "cellulitis", {"urgent_missed": False, "over_triaged": None}),
        (["melanoma"], "naevus", {"over_triaged": True, "urgent_missed": None, "rank": None}),
        (["psoriasis"], "lichen planus", {"over_triaged": False, "malignancy_missed": None}),
        (["xyz"], "psoriasis", {"over_triaged": False}),
        (["melanoma"], "skin cancer", {"rank": 1, "malignancy_missed": False}),
        (["acne"], "vascular lesion", {"malignancy_missed": None, "urgent_missed": None}),
        (["acne"], "leaf rust", {"known": False, "safety": "undetermined", "over_triaged": None}),
        (["leaf rust"], "leaf rust", {"known": False, "rank": 1, "safety": "none"}),
    ],
)
def test_outcomes(ranked, reference, expected):
    found = fields(ranked, reference)
    assert {name: found[name] for name in expected} == expected


def test_a_class_without_kinds_is_counted_nowhere():
    known = ontology()
    empty = [name for name, kinds in known.kinds.items() if not kinds]
    assert empty
    for name in empty:
        assert outcome([name], name)[3:] == (None,) * 4
