"""Claims about free text: what it states becomes a field, what it leaves open does not."""

import pytest

from skinflow_jax.clinical import CLINICAL
from skinflow_jax.clinical.description import described


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (
            "Multiple erythematous papules with scales are seen on the back of the hand.",
            {
                "lesion_type": ["papule"],
                "colour": ["red"],
                "surface": ["scaly"],
                "location": ["hand"],
                "number": ["many"],
            },
        ),
        (
            "A round, dark brown plaque of about 1.5 x 0.8 cm with well-defined borders.",
            {
                "lesion_type": ["plaque"],
                "colour": ["brown"],
                "shape": ["round"],
                "size": ["10-20 mm"],
                "border": ["well-defined"],
            },
        ),
        ("A red patch without scales.", {"lesion_type": ["patch"], "colour": ["red"]}),
        ("No vesicles, but red macules.", {"lesion_type": ["macule"], "colour": ["red"]}),
        ("Scales are not seen.", {}),
        ("Red papules. This suggests a viral infection with vesicles.", {
            "lesion_type": ["papule"], "colour": ["red"],
        }),
        ("Plaque psoriasis on the elbow.", {}),
        ("A papule on brown skin.", {"lesion_type": ["papule"]}),
        (
            "Irregular shape with clear borders.",
            {"shape": ["irregular"], "border": ["well-defined"]},
        ),
        ("The borders are irregular.", {"border": ["irregular"]}),
        ("An irregular lesion.", {}),
        ("It is clear that it grew in two days.", {}),
        ("On the face, at the nose.", {"location": ["nose"]}),
        ("On the nose and the foot.", {}),
        ("Several bullae.", {"lesion_type": ["bulla"], "number": ["few"]}),
        ("5 mm in the centre and 3 cm elsewhere.", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_text_states_what_it_says_and_no_more(text, fields):
    found = described(text)
    assert found == fields
    assert CLINICAL.canonical_fields(found) == found


def test_a_long_text_is_read_in_no_time_that_grows_faster_than_it():
    assert described("red " * 20_000) == {"colour": ["red"]}
