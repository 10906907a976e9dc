"""Attention over two blocks of keys under one softmax: a group's shared prefix, each row's own.

Letters in shapes: P prompts, G rows of a group, K key/value heads, R query heads per key head,
L query tokens, M own key tokens, N prefix key tokens, h head size. With [P, K] leading, both
products are batched matrix products without a transpose, and the prefix block is one product of
all G*R*L queries of a prompt with its N keys: the prefix is never repeated.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Shaped

from skinflow_jax.parallel import batch_shards

# Finite, so that a row without any visible key gives finite values (that nobody reads), not NaN.
MASKED = -1e30

# Scores that one device materialises at a time: 2^24 float32 are 64 MiB. Full attention over the
# 4,096 patches of one 896-pixel image has as many for every head.
SCORES_BUDGET = 2**24

# Checkpoint name of outputs and logsumexp: small, while recomputing them is a pass over all scores.
ATTENTION_OUTPUT = "attention"

KeyValue = tuple[jax.Array, jax.Array]


def attend(
    q: Float[Array, "P K G R L h"],
    own: KeyValue,
    own_mask: Bool[Array, "..."],
    prefix: KeyValue | None = None,
    prefix_mask: Bool[Array, "P N"] | None = None,
) -> Float[Array, "P K G R L h"]:
    """softmax(q k / sqrt(h)) v over prefix and own keys together; float32 softmax.

    Works in chunks of queries within `SCORES_BUDGET`; the backward pass recomputes the scores.

    Args:
      q: queries.
      own: keys and values `[P, K, G, M, h]`.
      own_mask: broadcastable to `[P, K, G, R, L, M]`, True where a query sees a key.
      prefix: keys and values `[P, K, N, h]`, or None.
      prefix_mask: True at real prefix tokens.
    """
    blocks = ((*own, _bias(own_mask)),)
    if prefix is not None:
        blocks += ((*prefix, _bias(prefix_mask[:, None, None, None, None])),)
    length = q.shape[4]
    chunk = _chunk_length(q, sum(keys.shape[-2] for keys, *_ in blocks))
    if chunk == length:
        return _attend(q, blocks)
    # Only the mask of a call's own keys may differ from query to query.
    keys, values, bias = blocks[0]
    bias_per_query = bias.ndim > 1 and bias.shape[-2] == length

    def attend_chunk(inputs):
        q, chunk_bias = inputs
        own_bias = chunk_bias if bias_per_query else bias
        return _attend(q, ((keys, values, own_bias), *blocks[1:]))

    inputs = _chunked(q, chunk), _chunked(bias, chunk) if bias_per_query else None
    outputs = jnp.moveaxis(jax.lax.map(attend_chunk, inputs), 0, 4)
    return outputs.reshape(*q.shape[:4], -1, q.shape[-1])[..., :length, :]


def probabilities(
    q: Float[Array, "P K G R L h"], keys: Float[Array, "P K G M h"], mask: Bool[Array, "..."]
) -> Float[Array, "P K G R L M"]:
    """The softmax that `attend` weighs values by, of own keys alone; `query_chunks` keep it small.

    Where a query sees no key all have the same weight.
    """
    return jax.nn.softmax(_scores(q, keys, _bias(mask)), axis=-1)


def query_chunks(arrays: tuple[jax.Array, ...], key_count: int) -> tuple[jax.Array, ...]:
    """`arrays` `[..., L, n]`, first the queries, as `[chunks, ..., chunk, n]`.

    Scores of a chunk over `key_count` keys lie within `SCORES_BUDGET`; the last is padded with 0.
    """
    chunk = _chunk_length(arrays[0], key_count)
    return tuple(_chunked(x, chunk) for x in arrays)


def _chunk_length(q: Float[Array, "P K G R L h"], key_count: int) -> int:
    length = q.shape[4]
    scores_per_query = math.prod(q.shape[:4]) // batch_shards(q.shape[0]) * key_count
    chunks = min(length, math.ceil(length * scores_per_query / SCORES_BUDGET))
    return math.ceil(length / chunks)


def _bias(mask):
    # Added to the scores, not selected by: a masked weight is exactly 0 all the same, and XLA can
    # fuse an addition into the product.
    return jnp.where(mask, 0.0, MASKED).astype(jnp.float32)


def _chunked(x: Shaped[Array, "... L n"], chunk: int):
    """`[chunks, ..., chunk, n]`, the last chunk padded with zeros."""
    pad = -x.shape[-2] % chunk
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, pad), (0, 0)])
    return jnp.moveaxis(x.reshape(*x.shape[:-2], -1, chunk, x.shape[-1]), -3, 0)


@jax.custom_vjp
def _attend(q, blocks):
    """Outputs `[P, K, G, R, L, h]` over all `blocks`, each (keys, values, bias)."""
    return _forward(q, blocks)[0]


def _forward(q, blocks):
    scores = [_scores(q, keys, bias) for keys, _, bias in blocks]
    row_max = functools.reduce(jnp.maximum, [jnp.max(s, axis=-1, keepdims=True) for s in scores])
    weights = [jnp.exp(s - row_max) for s in scores]
    total = sum(jnp.sum(w, axis=-1, keepdims=True) for w in weights)
    weighted = sum(
        _weigh(w.astype(q.dtype), values) for w, (_, values, _) in zip(weights, blocks, strict=True)
    )
    saved = (weighted / total).astype(q.dtype), row_max + jnp.log(total)
    output, logsumexp = checkpoint_name(saved, ATTENTION_OUTPUT)
    return output, (q, blocks, output, logsumexp)


def _backward(residuals, grad_output):
    """Recomputes the softmax weights: saving them takes as long, and more memory than all else.

    Gradients of keys and values come out as `[..., h, m]`, so that the scores need no transpose:
    three times as fast on CPU as the product that JAX derives.
    """
    q, blocks, output, logsumexp = residuals
    scale = q.shape[-1] ** -0.5
    # The softmax's gradient subtracts sum over keys(weight * its gradient), which is this.
    output_dot_grad = jnp.sum(_float32(grad_output) * _float32(output), axis=-1, keepdims=True)
    grad_q, grad_blocks = 0, []
    for keys, values, bias in blocks:
        weights = jnp.exp(_scores(q, keys, bias) - logsumexp)
        grad_scores = weights * (_dot_keys(grad_output, values) - output_dot_grad)
        grad_scores, weights = grad_scores.astype(q.dtype), weights.astype(q.dtype)
        grad_q += _weigh(grad_scores, keys) * scale
        grad_keys = _sum_over_queries(q * scale, grad_scores, keys)
        grad_values = _sum_over_queries(grad_output, weights, values)
        grad_blocks.append((grad_keys, grad_values, None))
    return grad_q.astype(q.dtype), tuple(grad_blocks)


_attend.defvjp(_forward, _backward)


def _scores(q, keys, bias):
    """float32 `[P, K, G, R, L, m]`."""
    return _dot_keys(q * q.shape[-1] ** -0.5, keys) + bias


def _dot_keys(x, keys):
    return jnp.einsum(f"pkgrlh,{_axes(keys)}->pkgrlm", x, keys, preferred_element_type=jnp.float32)


def _weigh(weights, values):
    """The sum over keys of `weights` times `values`, float32 `[P, K, G, R, L, h]`."""
    spec = f"pkgrlm,{_axes(values)}->pkgrlh"
    return jnp.einsum(spec, weights, values, preferred_element_type=jnp.float32)


def _axes(keys):
    return "pkgmh" if keys.ndim == 5 else "pkmh"


def _sum_over_queries(x, scores, keys):
    """The sum over all queries of `x` times their scores, in the shape of `keys`."""
    x, scores = (a.reshape(*keys.shape[:-2], -1, a.shape[-1]) for a in (x, scores))
    return jnp.einsum("...rh,...rm->...hm", x, scores).swapaxes(-1, -2)


def _float32(x):
    return x.astype(jnp.float32)
