"""How sure a model was of a decoded answer, from the log-probabilities of its tokens."""

import bisect
import json
import math
from collections.abc import Callable, Sequence

from skinflow_jax.evaluation.answers import Likelihood

_DIGITS = 4
"""Kept of a log-probability: the rest is round-off, which differs from mesh to mesh."""


def likelihood(
    tokens: Sequence[int],
    log_probs: Sequence[float],
    decode: Callable[[Sequence[int]], str],
) -> Likelihood | None:
    """Of an answer's tokens and their log-probabilities, end token included; None without any.

    `confidence` is the probability of the tokens in which the first text of the first list ends
    up, its closing quote included (which says that the name goes no further): that of the first
    diagnosis in an answer of our form.
    """
    if not len(tokens):
        return None
    tokens = list(tokens)
    begin, end = _first_name(decode(tokens))
    confidence = None
    if end:
        # Of a growing prefix the text grows: the tokens of a span are found by halving.
        first = bisect.bisect_right(range(len(tokens)), begin, key=_length(tokens, decode)) - 1
        last = bisect.bisect_left(range(len(tokens)), end, key=_length(tokens, decode))
        confidence = round(math.exp(min(0.0, math.fsum(log_probs[max(first, 0) : last]))), _DIGITS)
    return Likelihood(round(min(0.0, math.fsum(log_probs)), _DIGITS), len(tokens), confidence)


def _length(tokens: list[int], decode) -> Callable[[int], int]:
    return lambda count: len(decode(tokens[:count]))


def _first_name(text: str) -> tuple[int, int]:
    """Where the first text of a list begins, after its quote, and ends, after its quote; or 0, 0.

    The name is not read here: of an answer that is refused no confidence is kept.
    """
    begin = text.find("[") + 1
    begin += len(text[begin:]) - len(text[begin:].lstrip())
    if not begin or text[begin : begin + 1] != '"':
        return 0, 0
    try:
        _, end = json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):
        return 0, 0
    return begin + 1, end
