"""How the next token is sampled from its logits: every setting is traced, none recompiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from skinflow_jax.typed_fields import MOST_TOKENS, Finite, Several, Whole, typed

# Slots for stop tokens: a fixed number, so that another list does not recompile.
STOP_SLOTS = 8

# Beyond these, logits divided by it are infinite or all the same.
LEAST_TEMPERATURE, MOST_TEMPERATURE = 1e-3, 1e3
Temperature = Annotated[float, Finite(0, MOST_TEMPERATURE)]
TopK = Annotated[int, Whole(0)]
TopP = Annotated[float, Finite(above=0, most=1)]
MinTokens = Annotated[int, Whole(0, MOST_TOKENS)]
StopIds = Annotated[tuple[Annotated[int, Whole(0)], ...], Several(0, STOP_SLOTS)]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sampling:
    """What `make_sampling` checked, as a pytree of scalars; `stop_ids` is padded with -1."""

    temperature: float | jax.Array
    top_k: int | jax.Array
    top_p: float | jax.Array
    min_tokens: int | jax.Array
    stop_ids: Int[Array, " slots"]


def make_sampling(
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_tokens: int = 0,
    stop_ids: Sequence[int] = (),
) -> Sampling:
    """Sampling settings. Raises ConfigError for values that make no sense.

    Args:
      temperature: divides the logits; 0 is greedy: the most likely token.
      top_k: only the k most likely tokens can be sampled; 0 is off.
      top_p: only the most likely tokens that together have this probability (nucleus); 1 is off.
        After top_k, of what that left.
      min_tokens: no token that ends a completion is sampled before so many.
      stop_ids: tokens that end a completion besides the model's own end tokens; they stay in it.
    """
    temperature = typed(Temperature, temperature, "temperature")
    top_k, top_p = typed(TopK, top_k, "top_k"), typed(TopP, top_p, "top_p")
    min_tokens = typed(MinTokens, min_tokens, "min_tokens")
    stop_ids = typed(StopIds, tuple(stop_ids), "stop_ids")
    slots = np.full(STOP_SLOTS, -1, np.int32)
    slots[: len(stop_ids)] = stop_ids
    return Sampling(temperature, top_k, top_p, min_tokens, slots)


GREEDY = make_sampling(temperature=0.0)


def ending_tokens(sampling: Sampling, eos_ids: Sequence[int], vocab: int) -> Bool[Array, " V"]:
    """Which tokens end a completion."""
    ids = jnp.concatenate([jnp.array(eos_ids, jnp.int32), jnp.asarray(sampling.stop_ids)])
    # Negative indices count from the end: move the empty slots past it, where they are dropped.
    return jnp.zeros(vocab, bool).at[jnp.where(ids < 0, vocab, ids)].set(True, mode="drop")


def choose(
    logits: Float[Array, "P G V"],
    keys: Array,
    step: Int[Array, ""],
    ending: Bool[Array, " V"],
    sampling: Sampling,
) -> Int[Array, "P G"]:
    """The token at `step` of every row; `keys` `[P, G]` are the rows' own."""
    allowed = jnp.where(ending & (step < sampling.min_tokens), -jnp.inf, logits)

    def draw(scores):
        scores = scores / sampling.temperature
        scores = jax.lax.cond(
            (sampling.top_k > 0) | (sampling.top_p < 1),
            lambda scores: _top_k_top_p(scores, sampling.top_k, sampling.top_p),
            lambda scores: scores,
            scores,
        )
        row_keys = jax.vmap(jax.random.fold_in, (0, None))(keys.reshape(-1), step)
        noise = jax.vmap(lambda key: jax.random.gumbel(key, scores.shape[-1:]))(row_keys)
        return scores + noise.reshape(scores.shape)

    scores = jax.lax.cond(sampling.temperature > 0, draw, lambda scores: scores, allowed)
    return jnp.argmax(scores, axis=-1).astype(jnp.int32)


def _top_k_top_p(scores: Float[Array, "P G V"], top_k, top_p) -> Float[Array, "P G V"]:
    """`scores` with -inf at all that top-k and then top-p leave out.

    Thresholds are found bit by bit, exactly and without sorting a vocabulary.
    """
    order = _sortable_bits(scores)
    some = jnp.where(top_k > 0, jnp.minimum(top_k, scores.shape[-1]), scores.shape[-1])
    kept = order >= _threshold(order, jnp.ones_like(scores), some.astype(scores.dtype))
    mass = jnp.where(kept, jax.nn.softmax(scores, axis=-1), 0.0)
    wanted = top_p * jnp.sum(mass, axis=-1, keepdims=True)
    kept &= (order >= _threshold(order, mass, wanted)) | (top_p >= 1)
    return jnp.where(kept, scores, -jnp.inf)


def _sortable_bits(x: Float[Array, "..."]) -> UInt32[Array, "..."]:
    """Unsigned integers in the same order as the floats."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    sign = jnp.uint32(1 << 31)
    return jnp.where(bits & sign, ~bits, bits | sign)


def _threshold(order: UInt32[Array, "P G V"], weights: Float[Array, "P G V"], wanted):
    """`[P, G, 1]`: the largest value such that those >= it weigh at least `wanted` together."""

    def place_bit(i, found):
        candidate = found | (jnp.uint32(1 << 31) >> i.astype(jnp.uint32))
        weight = jnp.sum(jnp.where(order >= candidate, weights, 0.0), axis=-1, keepdims=True)
        return jnp.where(weight >= wanted, candidate, found)

    start = jnp.zeros((*order.shape[:-1], 1), jnp.uint32)
    return jax.lax.fori_loop(0, 32, place_bit, start)
