"""Claims about lists of diagnoses as other systems write them: the whole list, or a code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical.listed import FORMS, parse_json, parse_lines

TWO = ["melanoma", "naevus"]


@pytest.mark.parametrize(
    "text",
    [
        '["melanoma", "naevus"]',
        ' \n["melanoma", "naevus"]\n',
        '```json\n["melanoma", "naevus"]\n```',
        '{"diagnoses": ["melanoma", "naevus"]}',
    ],
)
def test_a_json_list_of_names_is_read_as_our_own_object_is(text):
    assert parse_json(text).names == TWO


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[]", "empty"),
        ("", "empty"),
        ('["a", 1]', "not_text"),
        ('["a", ""]', "empty"),
        ('["a"', "not_json"),
        ('["a"] and more', "not_json"),
        ("[" * 10_000, "not_json"),
        ('["a", "a\\u202e"]', "bad_character"),
        (f'["{"a" * 501}"]', "long_value"),
        (f'["{"a" * 20_000}"]', "too_long"),
        ('["1", "2", "3", "4", "5", "6", "7"]', "too_many"),
        ('{"names": ["melanoma"]}', "missing_key"),
        ("melanoma", "not_json"),
    ],
)
def test_what_is_no_json_list_of_names_is_refused_by_code(text, code):
    assert (parse_json(text).names, parse_json(text).code) == (None, code)


@pytest.mark.parametrize(
    "text",
    [
        "melanoma\nnaevus",
        "1. melanoma\n2. naevus\n",
        "1) melanoma\r\n\r\n2) naevus",
        "1: melanoma\n2: naevus",
        "- melanoma\n- naevus",
        "  * melanoma\n  * naevus",
    ],
)
def test_a_name_a_line_is_read_with_its_numbers_or_bullets(text):
    assert parse_lines(text).names == TWO


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \n\t\n", "empty"),
        ("\n".join("abcdefg"), "too_many"),
        ("Here is my list:\n1. melanoma\n2. naevus", "not_list"),
        ("1. melanoma\n3. naevus", "not_list"),
        ("2. melanoma\n1. naevus", "not_list"),
        ("1. melanoma\nnaevus", "not_list"),
        ("melanoma\n- naevus", "not_list"),
        ("- melanoma\n* naevus", "not_list"),
        ("- melanoma\nnaevus", "not_list"),
        ("melanoma\u2028naevus", "bad_character"),
        ("melanoma\ud800", "bad_character"),
        ("a" * 501, "long_value"),
        ("a\n" * 20_000, "too_long"),
    ],
)
def test_prose_gaps_and_mixed_lines_are_refused_by_code(text, code):
    assert (parse_lines(text).names, parse_lines(text).code) == (None, code)


def test_a_number_within_a_name_is_no_number_of_a_line():
    assert parse_lines("Type 1. reaction\n22q11").names == ["Type 1. reaction", "22q11"]


@given(st.text(st.characters(codec=None, categories=None)), st.sampled_from(sorted(FORMS)))
def test_no_text_raises_and_each_is_read_or_has_a_code(text, form):
    found = FORMS[form](text)
    assert (found.names is None) == (found.code is not None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["[", " ", "1. ", "- ", "\n", '"', "1. a\n"])
def test_ten_megabytes_are_refused_before_any_work(form, text):
    assert FORMS[form](text * (10_000_000 // len(text))).code == "too_long"
