"""Attention in two parts under one softmax: a prefix shared by a group, and each row's own tokens.

Letters in shapes: P prompts, G rows of a group, K key/value heads, R query heads per key head,
L query tokens, M own key tokens, N prefix key tokens, h head size. With [P, K] leading, both
products are batched matrix products in natural order, and the shared part is one tall product of
all G*R*L queries of a prompt with its N keys: the prefix is never repeated.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from skinflow_jax.parallel import batch_shards

# Finite, so that a row without any visible key gives numbers (that nobody reads), not NaN.
MASKED = -1e30

# Scores of one device held at a time: 2^25 float32 are 128 MiB. Full attention over the 4,096
# patches of one 896-pixel image has half as many for every head.
SCORES_BUDGET = 2**25

KeyValue = tuple[jax.Array, jax.Array]


def attend(
    q: Float[Array, "P K G R L h"],
    own: KeyValue,
    own_mask: Bool[Array, "..."],
    prefix: KeyValue | None = None,
    prefix_mask: Bool[Array, "P N"] | None = None,
) -> Float[Array, "P K G R L h"]:
    """softmax(q k / sqrt(h)) v over prefix and own keys together; float32 softmax.

    Takes as many queries at a time as `SCORES_BUDGET` allows. Scores are recomputed backwards: to
    keep them costs as much time as that, and a third of the memory of an update.

    Args:
      q: queries.
      own: keys and values `[P, K, G, M, h]`.
      own_mask: broadcastable to `[P, K, G, R, L, M]`, True where a query sees a key.
      prefix: keys and values `[P, K, N, h]`, or None.
      prefix_mask: True at real prefix tokens.
    """
    length, keys = q.shape[4], own[0].shape[3]
    keys += 0 if prefix is None else prefix[0].shape[2]
    scores_a_query = math.prod(q.shape[:4]) // batch_shards() * keys
    chunk = min(length, max(1, SCORES_BUDGET // scores_a_query))
    if chunk == length:
        return _attend(q, own, own_mask, prefix, prefix_mask)
    by_query = own_mask.ndim > 1 and own_mask.shape[-2] == length
    parts = _split(q, chunk), _split(own_mask, chunk) if by_query else None

    def of_part(part):
        queries, mask = part
        return _attend(queries, own, mask if by_query else own_mask, prefix, prefix_mask)

    mixed = jnp.moveaxis(jax.lax.map(of_part, parts), 0, 4)
    return mixed.reshape(*q.shape[:4], -1, q.shape[-1])[..., :length, :]


def _split(x: Float[Array, "... L n"] | Bool[Array, "... L n"], chunk: int):
    """`[chunks, ..., chunk, n]`, zeros where the last chunk goes on."""
    pad = -x.shape[-2] % chunk
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, pad), (0, 0)])
    return jnp.moveaxis(x.reshape(*x.shape[:-2], -1, chunk, x.shape[-1]), -3, 0)


# The layers are scanned, so that no other use of the scores could be shared.
@functools.partial(jax.checkpoint, prevent_cse=False)
def _attend(q, own, own_mask, prefix, prefix_mask):
    q = q * q.shape[-1] ** -0.5
    scores = _scores("pkgrlh,pkgmh->pkgrlm", q, own[0])
    scores = jnp.where(own_mask, scores, MASKED)
    if prefix is None:
        weights = jax.nn.softmax(scores, axis=-1).astype(q.dtype)
        return jnp.einsum("pkgrlm,pkgmh->pkgrlh", weights, own[1])
    shared = _scores("pkgrlh,pknh->pkgrln", q, prefix[0])
    shared = jnp.where(prefix_mask[:, None, None, None, None], shared, MASKED)
    weights = jax.nn.softmax(jnp.concatenate([shared, scores], axis=-1), axis=-1).astype(q.dtype)
    on_prefix, on_own = jnp.split(weights, [shared.shape[-1]], axis=-1)
    return jnp.einsum("pkgrln,pknh->pkgrlh", on_prefix, prefix[1]) + jnp.einsum(
        "pkgrlm,pkgmh->pkgrlh", on_own, own[1]
    )


def _scores(spec, q, k):
    return jnp.einsum(spec, q, k, preferred_element_type=jnp.float32)
