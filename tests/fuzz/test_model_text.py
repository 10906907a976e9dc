"""Whatever a model writes is scored: a finite number in its range, in time, no exception."""

import json
import math

import numpy as np
from fuzz_cases import fuzz
from hypothesis import example, given
from hypothesis import strategies as st

from skinflow_jax.clinical import caption_reward, diagnosis_reward, ontology, relation
from skinflow_jax.clinical.caption_schema import FIELDS
from skinflow_jax.clinical.parsing import parse_caption, parse_diagnoses
from skinflow_jax.data.pipeline import Example
from skinflow_jax.data.tasks import TASKS
from skinflow_jax.rl.rewards import REWARDS, score

REFERENCE = {"colour": ["red", "brown"], "size": "5-10 mm", "number": "few", "shape": "round"}
IMAGE = np.zeros((28, 28, 3), np.uint8)
NAMES = st.sampled_from(sorted(ontology().diseases))
# Pieces that parsers stumble over, many times in a row.
PIECES = [
    "```json",
    "\n",
    " ",
    "\t",
    "{",
    "}",
    "[",
    '"',
    "\\u",
    "1",
    "9",
    ",",
    "mm",
    " x ",
    "~",
    "-",
]
PIECES += ["\u0301", "\u0316", "\ufdfa", "\ud800", "'s", "ae", "æ", "\0", "é", "<", "cm", "."]
RUNS = st.lists(
    st.tuples(st.sampled_from(PIECES), st.integers(1, 3000)).map(lambda run: run[0] * run[1]),
    max_size=4,
).map("".join)
WORDS = st.text(max_size=60) | RUNS | NAMES
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=7)
        | st.dictionaries(st.sampled_from([*FIELDS, "diagnoses"]) | WORDS, inner, max_size=4)
    ),
    max_leaves=12,
)
CAPTIONS = st.dictionaries(st.sampled_from(sorted(FIELDS)), WORDS | st.lists(WORDS, max_size=4))
DIAGNOSES = st.lists(WORDS, max_size=7).map(lambda names: {"diagnoses": names})
OBJECTS = (JSON | CAPTIONS | DIAGNOSES).map(json.dumps)
FENCED = OBJECTS.map(lambda text: f"```json\n{text}\n```")
TEXTS = (
    WORDS | OBJECTS | FENCED | st.tuples(OBJECTS, st.integers(0, 60)).map(lambda t: t[0][: t[1]])
)


@fuzz(0.15)
@given(TEXTS)
@example("[" * 100_000)
@example('{"colour": ' * 50_000)
@example('{"diagnoses": [' + "9" * 5000 + "]}")
@example("```json" + " \t" * 50_000 + "\n{}\n```")
@example("```json\n" + ("\n" + " " * 200) * 500 + "{}")
@example(json.dumps({"size": "1" + " " * 100_000 + "x"}))
@example(json.dumps({"number": " " * 100_000 + "1x"}))
@example(json.dumps({"diagnoses": ["a" + "\u0301\u0316" * 20_000]}))
@example(json.dumps({"diagnoses": ["acne " * 20_000] * 6}))
@example(json.dumps({"colour": ["\ufdfa" * 20_000]}))
def test_any_text_is_scored(text):
    assert (parse_caption(text).fields is None) == (parse_caption(text).reason is not None)
    assert (parse_diagnoses(text).names is None) == (parse_diagnoses(text).reason is not None)
    scores = [caption_reward(text, REFERENCE), diagnosis_reward(text, "acne")]
    scores += [diagnosis_reward(text, "melanoma", scale="reciprocal", safety_penalty=0.5)]
    assert all(isinstance(one, float) and math.isfinite(one) for one in scores)
    assert all(0 <= one <= 1 for one in scores[:2]) and -0.5 <= scores[2] <= 1


@fuzz(0.1)
@given(WORDS, NAMES | st.just("no such disease"))
def test_any_name_relates_to_any_diagnosis(prediction, reference):
    found = relation(prediction, reference)
    assert found.accepted == (found.kind in ("exact", "synonym", "subclass"))
    assert not (found.accepted and found.safety != "none")


@fuzz(0.1)
@given(st.lists(TEXTS, min_size=2, max_size=2))
def test_the_built_in_rewards_score_any_text(texts):
    examples = [Example("a", task, REFERENCE, "acne", {}, (IMAGE,), answer="yes") for task in TASKS]
    rewards = score([texts] * 3, examples, REWARDS)
    scored = np.isfinite(rewards)
    applies = {"caption": [1, 0, 0, 0], "diagnosis": [0, 1, 1, 0], "question": [0, 0, 0, 1]}
    assert (scored == np.array([[applies[task]] * 2 for task in TASKS], bool)).all()
    assert ((rewards[scored] >= 0) & (rewards[scored] <= 1)).all()
