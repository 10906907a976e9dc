"""Claims about how sure a model was: which tokens the first diagnosis is, and what they sum to."""

import json
import math

import pytest

from skinflow_jax.evaluation.likelihoods import likelihood

NAMES = ["melanoma", "naevus"]


def sure(pieces, log_probs):
    """Of an answer whose tokens are these pieces of text."""
    return likelihood(range(len(pieces)), log_probs, lambda ids: "".join(pieces[i] for i in ids))


@pytest.mark.parametrize("text", [json.dumps({"diagnoses": NAMES}), '{"diagnoses":[ "Äcne" ]}'])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_first_name_is_the_tokens_from_its_first_letter_to_its_closing_quote(text, size):
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    begin = text.index('"', text.index("[")) + 1
    end = text.index('"', begin) + 1
    ends = [min(i + size, len(text)) for i in range(0, len(text), size)]
    own = [i for i, stop in enumerate(ends) if stop > begin and i * size < end]
    log_probs = [-0.01 * (i + 1) for i in range(len(pieces))]
    found = sure(pieces, log_probs)
    assert found.confidence == pytest.approx(math.exp(sum(log_probs[i] for i in own)), abs=1e-4)
    assert found.log_prob == pytest.approx(sum(log_probs), abs=1e-4)
    assert found.tokens == len(pieces)


def test_an_end_token_without_text_counts_in_the_answer_and_not_in_the_name():
    found = sure(['{"diagnoses": ["', "melanoma", '"]}', ""], [-1.0, -2.0, -0.5, -0.25])
    assert (found.log_prob, found.tokens) == (-3.75, 4)
    assert found.confidence == pytest.approx(math.exp(-2.5), abs=1e-4)


@pytest.mark.parametrize(
    "text", ["", "melanoma", "[", '["melanoma', "[1, 2]", '{"a": "b"}', "\ud800["]
)
def test_an_answer_without_a_first_name_has_no_confidence(text):
    assert sure([*text, ""], [-0.1] * (len(text) + 1)).confidence is None


def test_no_tokens_are_no_likelihood():
    assert sure([], []) is None
