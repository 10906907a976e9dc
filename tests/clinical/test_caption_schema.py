"""Claims about caption fields: what is recognised and how values are compared."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical import FIELDS, canonical, canonical_fields, score_field, to_json
from skinflow_jax.clinical.mentions import mentions_disease
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError

ALL_VALUES = [(name, value) for name, field in FIELDS.items() for value in field.values]


@st.composite
def references(draw):
    """A reference caption that knows at least one field."""
    names = draw(st.lists(st.sampled_from(list(FIELDS)), min_size=1, unique=True))
    return {
        name: draw(
            st.lists(
                st.sampled_from(FIELDS[name].values),
                min_size=1,
                max_size=3 if FIELDS[name].many else 1,
                unique=True,
            )
        )
        for name in names
    }


@pytest.mark.parametrize(("field", "value"), ALL_VALUES)
def test_a_canonical_value_is_itself_and_scores_one(field, value):
    assert canonical(field, value) == value
    assert canonical(field, f"  {value.upper()}. ") == value
    assert score_field(field, value, value) == 1.0


def test_each_synonym_stands_for_one_value_of_its_field():
    for name, field in FIELDS.items():
        seen = {normalise(value): value for value in field.values}
        for value, others in field.wordings.items():
            assert value in field.values
            for other in others:
                assert seen.setdefault(normalise(other), value) == value, (name, other)
                assert canonical(name, other) == value
                assert score_field(name, other, value) == 1.0


def test_neighbours_and_regions_name_canonical_values():
    for field in FIELDS.values():
        assert {value for pair in field.near for value in pair} <= set(field.values)
        assert {*field.parents, *field.parents.values()} <= set(field.values)
    assert FIELDS["location"].parents["nose"] == "face"


def test_no_word_of_the_vocabulary_names_a_disease():
    for name, field in FIELDS.items():
        for wording, _ in field.words():
            assert mentions_disease(wording) is None, (name, wording)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("7 mm", "5-10 mm"),
        ("1.2 cm", "10-20 mm"),
        ("1,2 cm", "10-20 mm"),
        ("12x8 mm", "10-20 mm"),
        ("8 mm × 2.5 cm", "over 20 mm"),
        ("4 x 3 mm", "under 5 mm"),
        ("< 5 mm", "under 5 mm"),
        ("5 mm", "5-10 mm"),
        ("20 mm", "10-20 mm"),
        (">20mm", "over 20 mm"),
        ("5–10 mm", "5-10 mm"),
        ("about 6 mm in diameter", "5-10 mm"),
        ("12", None),
        ("mm", None),
        ("-7 mm", None),
        ("big", None),
        ("5-10 mm or 10-20 mm", None),
    ],
)
def test_sizes_are_read_from_measurements(written, value):
    assert canonical("size", written) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [(1, "single"), ("3", "few"), (5, "few"), (6, "many"), ("0", None), (-1, None), ("²", None)],
)
def test_numbers_are_read_from_whole_numbers(written, value):
    assert canonical("number", written) == value


def test_spelling_case_and_plural_do_not_matter():
    assert canonical("colour", "Flesh-Colored") == "skin-coloured"
    assert canonical("colour", "GRAY") == "grey"
    assert canonical("lesion_type", "bullae") == "bulla"
    assert canonical("lesion_type", "Patches") == "patch"


@pytest.mark.parametrize("nothing", ["", "  ", [], [""], "qwerty", ["qwerty", "e"]])
@pytest.mark.parametrize("field", FIELDS)
def test_an_empty_or_unknown_prediction_scores_nothing(field, nothing):
    assert score_field(field, nothing, FIELDS[field].values[0]) == 0.0


@pytest.mark.parametrize(("field", "value"), ALL_VALUES)
def test_reciting_the_vocabulary_pays_nothing(field, value):
    assert score_field(field, list(FIELDS[field].values), value) == 0.0


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if not field.many])
def test_naming_two_values_pays_no_more_than_guessing_one_of_them(name):
    values = FIELDS[name].values
    for a in values:
        for b in values:
            for truth in values:
                best = max(score_field(name, a, truth), score_field(name, b, truth))
                mean = (score_field(name, a, truth) + score_field(name, b, truth)) / 2
                assert score_field(name, [a, b], truth) == pytest.approx(mean)
                assert score_field(name, [a, b], truth) <= best


def test_near_values_earn_partial_credit_and_far_ones_none():
    assert score_field("size", "7 mm", "10-20 mm") == 0.5
    assert score_field("size", "under 5 mm", "10-20 mm") == 0.0
    assert score_field("location", "face", "nose") == 0.5
    assert score_field("location", "nose", "lip") == 0.25
    assert score_field("location", "nose", "foot") == 0.0
    assert score_field("location", "head", "trunk") == 0.0
    assert score_field("colour", "pink", "red") == 0.5
    assert score_field("colour", "blue", "red") == 0.0


def test_a_neighbour_pays_once_even_beside_the_right_value():
    assert score_field("colour", ["red", "pink"], "red") == pytest.approx(2 / 3)
    assert score_field("colour", ["red"], ["red", "brown"]) == pytest.approx(2 / 3)
    assert score_field("colour", ["pink", "black"], ["red", "brown"]) == pytest.approx(0.5)


@given(st.sampled_from(list(FIELDS)), st.data())
def test_scores_stay_in_range_and_one_means_the_same_values(name, data):
    values = st.sampled_from(FIELDS[name].values)
    truth = data.draw(st.lists(values, min_size=1, max_size=6 if FIELDS[name].many else 1))
    guess = data.draw(st.lists(values | st.text(max_size=12), max_size=12))
    score = score_field(name, guess, truth)
    assert 0.0 <= score <= 1.0
    assert score == score_field(name, guess[::-1], truth)
    known = {canonical(name, item) or item for item in guess if item.strip()}
    assert (score == 1.0) == (known == set(truth))


@given(references())
def test_written_captions_are_canonical_ordered_and_stable(reference):
    text = to_json(reference)
    fields = json.loads(text)
    assert list(fields) == [name for name in FIELDS if name in reference]
    assert not any(isinstance(value, list) and len(value) == 1 for value in fields.values())
    assert to_json(fields) == text
    assert to_json(dict(reversed(reference.items()))) == text
    assert canonical_fields(fields) == canonical_fields(reference)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flavour": "sweet"}, "unknown caption field 'flavour'"),
        ({"colour": "octarine"}, "unknown value 'octarine'"),
        ({"size": ["7 mm", "30 mm"]}, "exactly one value"),
    ],
)
def test_a_bad_reference_is_refused_by_name(fields, message):
    with pytest.raises(InputError, match=message):
        to_json(fields)


def test_empty_values_mean_not_known():
    assert canonical_fields({"colour": [], "size": "", "shape": "round"}) == {"shape": ["round"]}
