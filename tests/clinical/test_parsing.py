"""Claims about what is accepted as a caption or as ranked diagnoses, and why the rest is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical import parse_caption, parse_diagnoses
from skinflow_jax.clinical.wording import normalise


def test_a_caption_is_read_as_lists_of_values():
    parsed = parse_caption('\n {"colour": ["red", "brown"], "shape": "round", "size": "odd"} \n')
    assert parsed.reason is None
    assert parsed.fields == {"colour": ["red", "brown"], "shape": ["round"], "size": ["odd"]}


def test_one_json_fence_is_tolerated():
    assert parse_caption('```json\n{"shape": "round"}\n```').fields == {"shape": ["round"]}
    assert parse_diagnoses('```json\n{"diagnoses": ["acne"]}\n```\n').names == ["acne"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not one JSON object"),
        ("a red papule", "not one JSON object"),
        ('["red"]', "not a JSON object but a list"),
        ('{"shape": "round"} {"shape": "oval"}', "not one JSON object"),
        ('Here it is: {"shape": "round"}', "not one JSON object"),
        ('```json\n{"shape": "round"}\n```\n```json\n{"shape": "oval"}\n```', "not one JSON"),
        ('```\n{"shape": "round"}\n```', "not one JSON object"),
        ('{"shape": "round", "shape": "oval"}', "a key occurs twice"),
        ('{"shape": "round", "diagnosis": "melanoma"}', "unknown key 'diagnosis'"),
        ('{"shape": 3}', "'shape' holds something other than text"),
        ('{"shape": null}', "something other than text"),
        ('{"shape": ["round", ["oval"]]}', "something other than text"),
        ('{"shape": {"a": "b"}}', "something other than text"),
        ('{"surface": "scaly, likely Bowen\'s disease"}', "names a disease: Bowen disease"),
        ("[" * 20_000, "not one JSON object"),
        ("[" * 20_001, "longer than 20,000 characters"),
        ('{"shape": "' + "o" * 501 + '"}', "'shape' is longer than 500 characters"),
        ('{"number": ' + "1" * 5000 + "}", "not one JSON object"),
    ],
)
def test_a_malformed_caption_is_refused_with_the_reason(text, reason):
    parsed = parse_caption(text)
    assert parsed.fields is None
    assert reason in parsed.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "the one key must be 'diagnoses'"),
        ('{"diagnoses": ["acne"], "note": "x"}', "the one key"),
        ('{"diagnoses": ["acne"], "diagnoses": ["scabies"]}', "a key occurs twice"),
        ('{"diagnoses": "melanoma"}', "a list of 1 to 6"),
        ('{"diagnoses": []}', "a list of 1 to 6"),
        ('{"diagnoses": ["a", "b", "c", "d", "e", "f", "g"]}', "a list of 1 to 6"),
        ('{"diagnoses": ["acne", ""]}', "an empty diagnosis"),
        ('{"diagnoses": ["acne", " . "]}', "an empty diagnosis"),
        ('{"diagnoses": ["acne", 3]}', "not text"),
        ('{"diagnoses": ["acne", "' + "o" * 501 + '"]}', "a diagnosis of more than 500 characters"),
        ("melanoma", "not one JSON object"),
    ],
)
def test_malformed_diagnoses_are_refused_with_the_reason(text, reason):
    parsed = parse_diagnoses(text)
    assert parsed.names is None
    assert reason in parsed.reason


@given(st.text() | st.recursive(st.text(), st.lists).map(repr))
def test_any_text_gives_either_a_result_or_a_reason(text):
    for parsed in (parse_caption(text), parse_diagnoses(text)):
        assert (parsed[0] is None) == bool(parsed.reason)


def test_a_long_row_of_accents_is_dropped_as_a_short_one_is():
    """Also where they would have to be sorted first, which takes quadratic time."""
    assert normalise("a\u0301\u0316" + "\u0301\u0316" * 200_000 + "cne\u00b4 \ufb01") == "acne fi"
