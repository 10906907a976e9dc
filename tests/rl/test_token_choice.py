"""Top-k and top-p leave in exactly what a sort would."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skinflow_jax.errors import ConfigError
from skinflow_jax.rl.token_choice import GREEDY, choose, ending_tokens, make_sampling

VOCAB = 200


@pytest.fixture(scope="module")
def logits():
    return jnp.array(np.random.default_rng(0).normal(size=(1, 1, VOCAB)) * 2, jnp.float32)


def drawn(logits, sampling, count=3000):
    """All tokens that `count` draws from the same logits give."""
    rows = jnp.broadcast_to(logits, (1, count, VOCAB))
    keys = jax.random.split(jax.random.key(1), count)[None]
    none_ends = jnp.zeros(VOCAB, bool)
    return set(np.asarray(choose(rows, keys, jnp.int32(0), none_ends, sampling)).ravel().tolist())


def expected(logits, temperature, top_k, top_p):
    """By sorting, in float64: the tokens that remain and the share of each."""
    scaled = np.asarray(logits, np.float64).ravel() / temperature
    order = np.argsort(-scaled)[: top_k or VOCAB]
    shares = np.exp(scaled[order] - scaled.max())
    shares /= shares.sum()
    before = np.cumsum(shares) - shares
    kept = order[before < top_p] if top_p < 1 else order
    return dict(zip(kept.tolist(), (shares[: len(kept)] / shares[: len(kept)].sum()), strict=True))


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 1, 1.0), (1.0, 5, 1.0), (0.7, 0, 0.5), (1.3, 12, 0.8), (1.0, 0, 1e-6), (1.0, 500, 1.0)],
)
def test_only_the_likeliest_are_drawn_and_all_of_them(logits, temperature, top_k, top_p):
    allowed = expected(logits, temperature, top_k, top_p)
    found = drawn(logits, make_sampling(temperature, top_k, top_p))
    assert found <= set(allowed)
    # A share of 1 % stays away from 3,000 draws once in 10^13 trials.
    assert found >= {token for token, share in allowed.items() if share > 0.01}


def test_greedy_takes_the_likeliest_and_what_may_not_end_yet_takes_the_next(logits):
    best, second = np.argsort(-np.asarray(logits).ravel())[:2]
    keys = jax.random.split(jax.random.key(0), 1)[None]
    ending = ending_tokens(GREEDY, (int(best),), VOCAB)
    assert int(choose(logits, keys, jnp.int32(0), ending, GREEDY)[0, 0]) == best
    waiting = make_sampling(0.0, min_tokens=2)
    assert int(choose(logits, keys, jnp.int32(1), ending, waiting)[0, 0]) == second
    assert int(choose(logits, keys, jnp.int32(2), ending, waiting)[0, 0]) == best


def test_end_tokens_are_the_models_and_the_settings_and_no_others():
    ending = np.asarray(ending_tokens(make_sampling(stop_ids=(7,)), (3, 199), VOCAB))
    assert np.flatnonzero(ending).tolist() == [3, 7, 199]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"top_k": -1}, "top_k=-1"),
        ({"min_tokens": -2}, "min_tokens=-2"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"stop_ids": (-1,)}, "stop_ids"),
        ({"stop_ids": tuple(range(9))}, "at most 8"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings, words):
    with pytest.raises(ConfigError, match=words):
        make_sampling(**settings)
