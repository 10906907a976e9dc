"""Attention in two parts under one softmax: a prefix shared by a group, and each row's own tokens.

Letters in shapes: P prompts, G rows of a group, K key/value heads, R query heads per key head,
L query tokens, M own key tokens, N prefix key tokens, h head size. With [P, K] leading, both
products are batched matrix products in natural order, and the shared part is one tall product of
all G*R*L queries of a prompt with its N keys: the prefix is never repeated.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Finite, so that a row without any visible key gives numbers (that nobody reads), not NaN.
MASKED = -1e30

KeyValue = tuple[jax.Array, jax.Array]


def attend(
    q: Float[Array, "P K G R L h"],
    own: KeyValue,
    own_mask: Bool[Array, "..."],
    prefix: KeyValue | None = None,
    prefix_mask: Bool[Array, "P N"] | None = None,
) -> Float[Array, "P K G R L h"]:
    """softmax(q k / sqrt(h)) v over prefix and own keys together; float32 softmax.

    Args:
      q: queries.
      own: keys and values `[P, K, G, M, h]`.
      own_mask: broadcastable to `[P, K, G, R, L, M]`, True where a query sees a key.
      prefix: keys and values `[P, K, N, h]`, or None.
      prefix_mask: True at real prefix tokens.
    """
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
