"""Claims about text of a model before it is read: what is refused, by which code, and how fast.

Times are of the processor, the least of several, and the bounds far above them.
"""

import json
import time
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical import (
    CLINICAL,
    Refusal,
    caption_field_scores,
    caption_reward,
    diagnosis_reward,
    find,
    first_accepted,
    parse_caption,
    parse_diagnoses,
    ranked_diagnoses,
    relation,
)
from skinflow_jax.clinical.description import described
from skinflow_jax.clinical.limits import bad_character
from skinflow_jax.clinical.measures import count, millimetres
from skinflow_jax.clinical.wording import normalise, same_answer
from skinflow_jax.evaluation.generate import describe
from skinflow_jax.json_file import json_line

REFERENCE = {"colour": ["red"], "size": "7 mm"}
ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=40)

READERS = {
    "parse_caption": parse_caption,
    "parse_diagnoses": parse_diagnoses,
    "caption_reward": lambda text: caption_reward(text, REFERENCE),
    "caption_field_scores": lambda text: caption_field_scores(text, REFERENCE),
    "diagnosis_reward": lambda text: diagnosis_reward(text, "melanoma"),
    "first_accepted": lambda text: first_accepted(text, "melanoma"),
    "ranked_diagnoses": ranked_diagnoses,
    "relation": lambda text: relation(text, "melanoma"),
    "find": find,
    "canonical": lambda text: CLINICAL.canonical("size", text),
    "known": lambda text: CLINICAL.known({"colour": text}),
    "score_field": lambda text: CLINICAL.score_field("colour", [text, "red"], "red"),
    "millimetres": millimetres,
    "count": count,
    "described": described,
    "describe": lambda text: (describe("caption", text), describe("diagnosis", text)),
    "same_answer": lambda text: same_answer(text, "melanoma"),
}
"""Every public function that takes text of a model."""

WITHOUT_LIMIT = {"normalise": normalise, "bad_character": bad_character, "json_line": json_line}
"""Those that read all that they are given."""

HOSTILE = {
    "spaces": lambda n: " " * n,
    "a letter after spaces": lambda n: " " * n + "a",
    "spaces in a word": lambda n: "a" + " " * n + "(a",
    "digits": lambda n: "1" * n,
    "products": lambda n: "1x" * (n // 2),
    "numbers with spaces": lambda n: "1 " * (n // 2) + "m",
    "brackets": lambda n: "(" * n,
    "braces": lambda n: '{"a":' * (n // 5),
    "ends of lines": lambda n: "```json\n" + "\n \t" * (n // 3),
    "accents": lambda n: "a" + "\u0301\u0316" * (n // 2),
    "ligatures": lambda n: "\ufdfa" * n,
    "NUL": lambda n: "\0" * n,
    "denials": lambda n: "no " * (n // 3),
    "words": lambda n: "red papule, " * (n // 12),
    "s": lambda n: "s" * n,
    "mata": lambda n: "mata" * (n // 4),
    "apostrophes": lambda n: "'s" * (n // 2),
    "names": lambda n: "naevus or melanoma, " * (n // 20),
    "an entry": lambda n: json.dumps({"diagnoses": ["a" + " " * n + "b"]}),
    "entries": lambda n: json.dumps({"diagnoses": ["x"] * (n // 5)}),
    "values": lambda n: json.dumps({"colour": [f"x{i}" for i in range(n // 8)]}),
}


def seconds(read, text, tries=3):
    """Of the processor, the least of several tries."""
    found = []
    for _ in range(tries):
        began = time.process_time()
        read(text)
        found.append(time.process_time() - began)
    return min(found)


@pytest.mark.parametrize("name", [*READERS, *WITHOUT_LIMIT])
def test_four_times_doubled_a_text_takes_no_more_than_linear_time(name):
    read = (READERS | WITHOUT_LIMIT)[name]
    for kind, text in HOSTILE.items():
        once, longer = seconds(read, text(1_000)), seconds(read, text(16_000), tries=1)
        # 16 times as long; a square would take 256 times.
        assert longer < 64 * once + 0.005, (kind, once, longer)


@pytest.mark.parametrize("name", READERS)
def test_ten_megabytes_are_refused_before_any_work(name):
    for kind in ("spaces", "digits", "braces", "accents", "words", "an entry"):
        assert seconds(READERS[name], HOSTILE[kind](10_000_000)) < 0.1, kind


def test_an_entry_of_many_spaces_is_refused_in_no_time():
    text = json.dumps({"diagnoses": ["melanoma" + " " * 262_144, "naevus"]})
    assert seconds(lambda text: diagnosis_reward(text, "naevus"), text) < 0.01
    assert parse_diagnoses(text).code == Refusal.TOO_LONG


@given(ANY_TEXT)
def test_no_text_raises_in_any_reader(text):
    wrapped = [json.dumps({"diagnoses": [text]}), json.dumps({"colour": text, "size": [text]})]
    for read in (READERS | WITHOUT_LIMIT).values():
        for given_text in (text, *wrapped):
            read(given_text)


@given(ANY_TEXT)
def test_a_refusal_has_a_code_and_words_that_can_be_written_and_nothing_else_has(text):
    wrapped = [json.dumps({"diagnoses": [text]}), json.dumps({text: text, "colour": text})]
    for answer in (text, *wrapped):
        for found, reason, code in (parse_caption(answer), parse_diagnoses(answer)):
            assert (found is None) == (reason is not None) == (code is not None)
            assert reason is None or (reason.isprintable() and len(reason) < 200)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 20_001, "too_long"),
        ("\0", "bad_character"),
        ('{"diagnoses": ["mela\u200bnoma"]}', "bad_character"),
        ('{"diagnoses": ["mela\\u202enoma"]}', "bad_character"),
        ('{"diagnoses": ["\\ud800"]}', "bad_character"),
        ("", "empty"),
        (" \n", "empty"),
        ('{"diagnoses": []}', "empty"),
        ('{"diagnoses": ["melanoma", " . "]}', "empty"),
        ("melanoma", "not_json"),
        ("[" * 20_000, "not_json"),
        ('["melanoma"]', "not_object"),
        ("3", "not_object"),
        ('{"diagnoses": ["acne"], "diagnoses": ["acne"]}', "repeated_key"),
        ('{"diagnoses": ["acne"], "note": ""}', "unknown_key"),
        ("{}", "missing_key"),
        ('{"diagnosis": ["acne"]}', "missing_key"),
        ('{"diagnoses": "acne"}', "not_list"),
        ('{"diagnoses": ["a", "b", "c", "d", "e", "f", "g"]}', "too_many"),
        ('{"diagnoses": ["acne", 3]}', "not_text"),
        ('{"diagnoses": ["' + "a" * 501 + '"]}', "long_value"),
    ],
)
def test_refused_diagnoses_have_the_code_of_what_is_wrong_with_them(text, code):
    assert parse_diagnoses(text).code == code
    assert all(line.isprintable() for line in describe("diagnosis", text).splitlines())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"colour": "red", "colour": "red"}', "repeated_key"),
        ('{"color": "red"}', "unknown_key"),
        ('{"colour": null}', "not_text"),
        ('{"colour": "' + "a" * 501 + '"}', "long_value"),
        ('{"colour": "re\\u0000d"}', "bad_character"),
        ('{"colour": "as in psoriasis"}', "names_disease"),
    ],
)
def test_refused_captions_have_the_code_of_what_is_wrong_with_them(text, code):
    assert parse_caption(text).code == code


def test_control_characters_line_separators_surrogates_and_direction_marks_are_bad():
    bad = {c for c in map(chr, range(0x110000)) if category(c) in ("Cc", "Cs", "Zl", "Zp")}
    bad |= set("\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\ufeff")
    bad |= set("\u2060\u2066\u2067\u2068\u2069\xad\u0336\u0338\u20e0\U000e0061")
    assert {c for c in bad if bad_character(c) is None} == {"\t", "\n", "\r"}
    assert bad_character("ab\u202e\0") == "U+202E"


@pytest.mark.parametrize(
    "text", ["na\u00efve\n", "黑色素瘤", "Sézary's (CTCL) - 5\u00a0%", "😀 ½ µm", "नेवस"]
)
def test_what_people_write_has_no_bad_character(text):
    assert bad_character(text) is None


@given(ANY_TEXT, ANY_TEXT)
def test_any_json_comes_back_from_its_line(text, key):
    line = json_line({key: [text]})
    assert line.isprintable() and line.splitlines() == [line]
    found = json.loads(line.encode().decode())
    assert found == {whole(key): [whole(text)]}


def whole(text):
    """Two halves of a pair, side by side, are one character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
