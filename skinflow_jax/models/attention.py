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
    parts = ((*own, _bias(own_mask)),)
    if prefix is not None:
        parts += ((*prefix, _bias(prefix_mask[:, None, None, None, None])),)
    length = q.shape[4]
    columns = sum(keys.shape[-2] for keys, *_ in parts)
    scores_a_query = math.prod(q.shape[:4]) // batch_shards() * columns
    pieces = min(length, math.ceil(length * scores_a_query / SCORES_BUDGET))
    if pieces == 1:
        return _attend(q, parts)
    chunk = math.ceil(length / pieces)
    # Only a call's own keys may be hidden from some of its queries.
    keys, values, bias = parts[0]
    by_query = bias.ndim > 1 and bias.shape[-2] == length

    def of_piece(piece):
        q, bias_here = piece
        return _attend(q, ((keys, values, bias_here if by_query else bias), *parts[1:]))

    pieces = _split(q, chunk), _split(bias, chunk) if by_query else None
    mixed = jnp.moveaxis(jax.lax.map(of_piece, pieces), 0, 4)
    return mixed.reshape(*q.shape[:4], -1, q.shape[-1])[..., :length, :]


def _bias(mask):
    # Added, not chosen by: where nothing is seen a weight is 0 exactly, and a library's product
    # can take an addition along.
    return jnp.where(mask, 0.0, MASKED).astype(jnp.float32)


def _split(x: Float[Array, "... L n"], chunk: int):
    """`[chunks, ..., chunk, n]`, zeros where the last chunk goes on."""
    pad = -x.shape[-2] % chunk
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, pad), (0, 0)])
    return jnp.moveaxis(x.reshape(*x.shape[:-2], -1, chunk, x.shape[-1]), -3, 0)


@jax.custom_vjp
def _attend(q, parts):
    """Mixed values `[P, K, G, R, L, h]` of `parts`, each (keys, values, bias)."""
    return _forward(q, parts)[0]


def _forward(q, parts):
    scores = [_scores(q, keys, bias) for keys, _, bias in parts]
    highest = functools.reduce(jnp.maximum, [jnp.max(s, axis=-1, keepdims=True) for s in scores])
    weights = [jnp.exp(s - highest) for s in scores]
    total = sum(jnp.sum(w, axis=-1, keepdims=True) for w in weights)
    mixed = sum(
        _mix(w.astype(q.dtype), values) for w, (_, values, _) in zip(weights, parts, strict=True)
    )
    kept = (mixed / total).astype(q.dtype), highest + jnp.log(total)
    mixed, log_total = checkpoint_name(kept, MIXED)
    return mixed, (q, parts, mixed, log_total)


def _backward(saved, gradient):
    """Makes the weights again: to keep them costs as much time, and the most memory of all.

    Gradients of keys and values come out as `[..., h, m]`, so that the scores stand in their
    natural order: three times as fast on CPU as the product that JAX derives.
    """
    q, parts, mixed, log_total = saved
    scale = q.shape[-1] ** -0.5
    # What the softmax's denominator passes on: the sum over all keys of weights * of_weights.
    through_total = jnp.sum(_wide(gradient) * _wide(mixed), axis=-1, keepdims=True)
    of_q, of_parts = 0, []
    for keys, values, bias in parts:
        weights = jnp.exp(_scores(q, keys, bias) - log_total)
        of_scores = weights * (_on_keys(gradient, values) - through_total)
        of_scores, weights = of_scores.astype(q.dtype), weights.astype(q.dtype)
        of_q += _mix(of_scores, keys) * scale
        of_keys = _over_rows(q * scale, of_scores, keys)
        of_parts.append((of_keys, _over_rows(gradient, weights, values), None))
    return of_q.astype(q.dtype), tuple(of_parts)


_attend.defvjp(_forward, _backward)


def _scores(q, keys, bias):
    """float32 `[P, K, G, R, L, m]`."""
    return _on_keys(q * q.shape[-1] ** -0.5, keys) + bias


def _on_keys(x, keys):
    return jnp.einsum(f"pkgrlh,{_axes(keys)}->pkgrlm", x, keys, preferred_element_type=jnp.float32)


def _mix(weights, values):
    """float32 `[P, K, G, R, L, h]`."""
    spec = f"pkgrlm,{_axes(values)}->pkgrlh"
    return jnp.einsum(spec, weights, values, preferred_element_type=jnp.float32)


def _axes(keys):
    return "pkgmh" if keys.ndim == 5 else "pkmh"


def _over_rows(x, scores, keys):
    """The sum over all queries of `x` times their scores, in the shape of `keys`."""
    x, scores = (a.reshape(*keys.shape[:-2], -1, a.shape[-1]) for a in (x, scores))
    return jnp.einsum("...rh,...rm->...hm", x, scores).swapaxes(-1, -2)


def _wide(x):
    return x.astype(jnp.float32)
