"""Claims about rewards: nothing that a model adds without knowing more raises them."""

import json

from hypothesis import assume, given
from hypothesis import strategies as st

from skinflow_jax.clinical import CLINICAL, caption_reward, diagnosis_reward

# Names of one disease each.
DISEASES = [
    ["melanoma", "malignant melanoma"],
    ["melanocytic naevus", "mole"],
    ["basal cell carcinoma", "BCC"],
    ["actinic keratosis", "solar keratosis"],
    ["seborrhoeic keratosis", "seborrheic keratosis"],
    ["dermatofibroma", "fibrous histiocytoma"],
    ["psoriasis", "psoriatic dermatosis"],
    ["atopic dermatitis", "atopic eczema"],
    ["lichen planus", "lichen ruber planus"],
    ["tinea versicolor", "pityriasis versicolor"],
    ["herpes zoster", "shingles"],
    ["molluscum contagiosum", "molluscum"],
    ["urticaria", "hives"],
    ["vitiligo", "Vitiligo."],
]
NAMES = [name for names in DISEASES for name in names]
ADDED = [
    *(
        f"{sign}{{}}"
        for sign in (", ", "; ", "/", " / ", " or ", " and ", " & ", " vs ", "\n", " | ")
    ),
    *(" ({})", " [{}]", ", not {}", " - {}", " without {}", ", possibly {}", " -> {}", "?", " (?)"),
]
TEXT = st.text(st.characters(codec=None, categories=None), max_size=12)
ranked = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True)


def reward(names, reference):
    """Of a well-formed answer."""
    return diagnosis_reward(json.dumps({"diagnoses": names}), reference)


@given(ranked, st.data())
def test_nothing_appended_inside_an_entry_raises_a_reward(names, data):
    place = data.draw(st.integers(0, len(names) - 1))
    reference = data.draw(st.sampled_from(NAMES))
    tail = data.draw(st.sampled_from(ADDED)).format(data.draw(st.sampled_from(NAMES)))
    tail = data.draw(st.sampled_from([tail]) | TEXT)
    longer = [*names[:place], names[place] + tail, *names[place + 1 :]]
    assert reward(longer, reference) <= reward(names, reference)


@given(ranked.filter(lambda names: len(names) < 6), st.data())
def test_no_synonym_or_repetition_after_a_name_raises_a_reward(names, data):
    first = data.draw(st.integers(0, len(names) - 1))
    place = data.draw(st.integers(first + 1, len(names)))
    synonyms = next(found for found in DISEASES if names[first] in found)
    again = data.draw(st.sampled_from([*synonyms, names[first].upper(), f" {names[first]}.\n"]))
    reference = data.draw(st.sampled_from(NAMES))
    assert reward([*names[:place], again, *names[place:]], reference) == reward(names, reference)


@given(ranked.filter(lambda names: len(names) < 6), TEXT, st.data())
def test_no_name_unlike_the_truth_raises_a_reward(names, text, data):
    reference = data.draw(st.sampled_from(NAMES))
    wrong = [name for found in DISEASES if reference not in found for name in found]
    other = data.draw(st.sampled_from(wrong)) if data.draw(st.booleans()) else text
    place = data.draw(st.integers(0, len(names)))
    assume(other.strip().casefold() != reference.casefold())
    assert reward([*names[:place], other, *names[place:]], reference) <= reward(names, reference)


@st.composite
def captions(draw):
    """A field, values that a model gives it and those of the reference."""
    field = draw(st.sampled_from(list(CLINICAL.fields.values())))
    values = st.sampled_from(field.values)
    given_values = draw(st.lists(values, min_size=1, max_size=4, unique=True))
    truth = draw(st.lists(values, min_size=1, max_size=3 if field.many else 1, unique=True))
    return field, given_values, truth


def field_reward(field, values, truth):
    """Of a caption of one field."""
    return caption_reward(json.dumps({field.name: values}), {field.name: truth})


@given(captions(), TEXT, st.data())
def test_no_value_unlike_the_truth_raises_a_caption_reward(drawn, text, data):
    field, values, truth = drawn
    unlike = [v for v in field.values if not any(field.compare(v, t) for t in truth)]
    other = data.draw(st.sampled_from([*unlike, text, f"not {truth[0]}", f"{truth[0]}?"]))
    assume(not any(field.compare(field.canonical(other) or "", t) for t in truth))
    place = data.draw(st.integers(0, len(values)))
    longer = [*values[:place], other, *values[place:]]
    assert field_reward(field, longer, truth) <= field_reward(field, values, truth) + 1e-9


@given(captions(), st.data())
def test_no_repetition_of_a_value_raises_a_caption_reward(drawn, data):
    field, values, truth = drawn
    value = data.draw(st.sampled_from(values))
    again = data.draw(st.sampled_from([value, value.upper(), f" {value}. ", *words(field, value)]))
    assert field_reward(field, [*values, again], truth) == field_reward(field, values, truth)


def words(field, value):
    """Wordings of a value."""
    return field.wordings.get(value, ())


@given(captions(), st.data())
def test_nothing_appended_inside_a_value_raises_a_caption_reward(drawn, data):
    field, values, truth = drawn
    place = data.draw(st.integers(0, len(values) - 1))
    tail = data.draw(st.sampled_from(ADDED)).format(data.draw(st.sampled_from(field.values)))
    longer = [*values[:place], values[place] + tail, *values[place + 1 :]]
    assert field_reward(field, longer, truth) <= field_reward(field, values, truth) + 1e-9
