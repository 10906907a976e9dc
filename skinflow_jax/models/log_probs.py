"""Log-probabilities of given tokens, in float32, in chunks that never materialise all logits."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from skinflow_jax.models.vlm import Vlm

# Logits materialised at a time: 2^26 float32 are 256 MiB. A whole 7B batch would be tens of GiB.
LOGITS_BUDGET = 2**26


def token_log_probs(
    model: Vlm,
    states: Float[Array, "P G T D"],
    tokens: Int[Array, "P G T"],
    temperature: float | jax.Array = 1.0,
    *,
    logits_budget: int = LOGITS_BUDGET,
) -> tuple[Float[Array, "P G T"], Float[Array, "P G T"]]:
    """(log-probability of each token, entropy of its distribution), at `temperature`.

    The state at t predicts the token at t (see `completion_states`). Logits are divided by the
    temperature before the softmax; temperature 0 means greedy choice and probabilities at 1.
    Works in chunks of at most `logits_budget` logits, rematerialised in the backward pass.
    """
    prompts, group, length, _ = states.shape
    vocabulary = model.config.text.vocab_size
    chunk = tokens_at_a_time(prompts * group, length, vocabulary, logits_budget)
    chunks = math.ceil(length / chunk)

    def of_chunk(chunk_states, chunk_tokens):
        return chosen_log_probs(model.decoder.logits(chunk_states), chunk_tokens, temperature)

    if chunks == 1:
        return of_chunk(states, tokens)
    pad = chunks * chunk - length
    states = jnp.pad(states, ((0, 0), (0, 0), (0, pad), (0, 0)))
    tokens = jnp.pad(tokens, ((0, 0), (0, 0), (0, pad)))
    states = jnp.moveaxis(states.reshape(prompts, group, chunks, chunk, -1), 2, 0)
    tokens = jnp.moveaxis(tokens.reshape(prompts, group, chunks, chunk), 2, 0)
    outputs = jax.lax.map(lambda xs: jax.checkpoint(of_chunk)(*xs), (states, tokens))
    log_probs, entropy = (
        jnp.moveaxis(x, 0, 2).reshape(prompts, group, -1)[:, :, :length] for x in outputs
    )
    return log_probs, entropy


def tokens_at_a_time(rows: int, length: int, vocabulary: int, budget: int = LOGITS_BUDGET) -> int:
    """Tokens per row in a chunk whose logits stay within `budget`, at least one."""
    return max(1, min(length, budget // (rows * vocabulary)))


def chosen_log_probs(
    logits: Float[Array, "... V"], tokens: Int[Array, "..."], temperature
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """(log-probability of `tokens`, entropy) under softmax(logits / temperature); 0 means 1."""
    scaled = logits / jnp.where(temperature > 0, temperature, 1.0)
    log_probs = jax.nn.log_softmax(scaled, axis=-1)
    chosen = jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    return chosen, -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
