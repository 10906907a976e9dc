"""Attention in two parts under one softmax: a prefix shared by a group, and each row's own tokens.

Letters in shapes: P prompts, G rows of a group, K key/value heads, R query heads per key head,
L query tokens, M own key tokens, N prefix key tokens, h head size. With [P, K] leading, both
products are batched matrix products in natural order, and the shared part is one tall product of
all G*R*L queries of a prompt with its N keys: the prefix is never repeated.
"""

import math

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from skinflow_jax.parallel import batch_shards

# Finite, so that a row without any visible key gives numbers (that nobody reads), not NaN.
MASKED = -1e30

# Scores of one device held at a time: 2^24 float32 are 64 MiB. Full attention over the 4,096
# patches of one 896-pixel image has as many for every head.
SCORES_BUDGET = 2**24

# What rematerialisation may keep by this name: small, and a second pass over all scores to remake.
MIXED = "attention"

KeyValue = tuple[jax.Array, jax.Array]


def attend(
    q: Float[Array, "P K G R L h"],
    own: KeyValue,
    own_mask: Bool[Array, "..."],
    prefix: KeyValue | None = None,
    prefix_mask: Bool[Array, "P N"] | None = None,
) -> Float[Array, "P K G R L h"]:
    """softmax(q k / sqrt(h)) v over prefix and own keys together; float32 softmax.

    Takes as many queries at a time as `SCORES_BUDGET` allows; scores are made again backwards.

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
    pieces = min(length, math.ceil(length * scores_a_query / SCORES_BUDGET))
    if pieces == 1:
        return _attend(q, own, own_mask, prefix, prefix_mask)
    chunk = math.ceil(length / pieces)
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


@jax.custom_vjp
def _attend(q, own, own_mask, prefix, prefix_mask):
    weights = _weights(q, own, own_mask, prefix, prefix_mask).astype(q.dtype)
    if prefix is None:
        return jnp.einsum("pkgrlm,pkgmh->pkgrlh", weights, own[1])
    on_prefix, on_own = jnp.split(weights, [prefix[0].shape[2]], axis=-1)
    return jnp.einsum("pkgrln,pknh->pkgrlh", on_prefix, prefix[1]) + jnp.einsum(
        "pkgrlm,pkgmh->pkgrlh", on_own, own[1]
    )


def _weights(q, own, own_mask, prefix, prefix_mask):
    """float32 `[P, K, G, R, L, N + M]`."""
    q = q * q.shape[-1] ** -0.5
    scores = jnp.where(own_mask, _on_keys("pkgrlh,pkgmh->pkgrlm", q, own[0]), MASKED)
    if prefix is not None:
        shared = _on_keys("pkgrlh,pknh->pkgrln", q, prefix[0])
        shared = jnp.where(prefix_mask[:, None, None, None, None], shared, MASKED)
        scores = jnp.concatenate([shared, scores], axis=-1)
    return jax.nn.softmax(scores, axis=-1)


def _on_keys(spec, x, keys):
    return jnp.einsum(spec, x, keys, preferred_element_type=jnp.float32)


def _forward(*arguments):
    mixed = checkpoint_name(_attend(*arguments), MIXED)
    return mixed, (arguments, mixed)


def _backward(saved, gradient):
    """Makes the weights again: to keep them costs as much time, and the most memory of all.

    Gradients of keys and values come out as `[..., h, m]`, so that the scores stand in their
    natural order: three times as fast on CPU as the product that JAX derives.
    """
    (q, own, own_mask, prefix, prefix_mask), mixed = saved
    weights = _weights(q, own, own_mask, prefix, prefix_mask)
    of_weights = _on_keys("pkgrlh,pkgmh->pkgrlm", gradient, own[1])
    if prefix is not None:
        shared = _on_keys("pkgrlh,pknh->pkgrln", gradient, prefix[1])
        of_weights = jnp.concatenate([shared, of_weights], axis=-1)
    # The sum over all keys of weights * of_weights.
    through_sum = jnp.einsum("...h,...h->...", gradient, mixed, preferred_element_type=jnp.float32)
    of_scores = weights * (of_weights - through_sum[..., None])
    of_scores *= q.shape[-1] ** -0.5
    first_own = 0 if prefix is None else prefix[0].shape[2]

    def by(keys, here, mask, queries):
        """(gradient of the queries, of keys and values) through the columns `here`."""

        def rows(x):
            return x.reshape(*queries, -1, x.shape[-1])

        columns = rows(weights[..., here].astype(q.dtype))
        changes = rows(jnp.where(mask, of_scores[..., here], 0).astype(q.dtype))
        of_q = jnp.einsum("...rm,...mh->...rh", changes, keys)
        of_keys = jnp.einsum("...rh,...rm->...hm", rows(q), changes)
        of_values = jnp.einsum("...rh,...rm->...hm", rows(gradient), columns)
        return of_q.reshape(q.shape), (of_keys.swapaxes(-1, -2), of_values.swapaxes(-1, -2))

    of_q, of_own = by(own[0], slice(first_own, None), own_mask, q.shape[:3])
    if prefix is None:
        return of_q, of_own, None, None, None
    mask = prefix_mask[:, None, None, None, None]
    more, of_prefix = by(prefix[0], slice(first_own), mask, q.shape[:2])
    return of_q + more, of_own, None, of_prefix, None


_attend.defvjp(_forward, _backward)
