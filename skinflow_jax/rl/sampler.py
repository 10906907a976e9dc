"""Group rollouts: each prompt encoded and prefilled once, its G completions sampled together.

Decoding goes chunk by chunk of tokens, each by the same program, so that the host may give it up
in between. Within a chunk the batch is compacted as rows end: decoding goes on with half the rows
of each group, then half the prompts, as soon as the live rows fit.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from skinflow_jax.models.attention import KeyValue
from skinflow_jax.models.decoder import Visible, transpose_keys
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.log_probs import chosen_log_probs
from skinflow_jax.models.prefix import Prefix
from skinflow_jax.models.vlm import (
    DEFAULT_COMPUTE,
    ComputeConfig,
    Vlm,
    completion_rotation,
    prefill,
)
from skinflow_jax.parallel import batch_shards, constrain, rollout_copy
from skinflow_jax.rl.compaction import Rows, bucket_sizes, choose_rows, fits
from skinflow_jax.rl.token_choice import Sampling, choose, ending_tokens


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rollout:
    """G completions of each of P prompts, at most T tokens.

    `mask` is True at sampled tokens, the end token included; after it there is padding.
    `log_probs` are the sampler's own, of the chosen tokens under softmax(logits / temperature)
    over the whole vocabulary, whatever top-k, top-p and min_tokens left out; 0 at padding.
    `terminated` is False where the limit cut a completion.
    """

    tokens: Int[Array, "P G T"]
    mask: Bool[Array, "P G T"]
    log_probs: Float[Array, "P G T"]
    terminated: Bool[Array, "P G"]


CHUNK = 128
"""Tokens that are decoded between two looks of the host: a few seconds of the largest models."""


def sample(
    model: Vlm,
    inputs: ModelInputs,
    key: jax.Array,
    rows: Int[Array, " P"],
    sampling: Sampling,
    *,
    group_size: int,
    max_tokens: int,
    compute: ComputeConfig = DEFAULT_COMPUTE,
    compactions: int = 0,
) -> Rollout:
    """Sample until every row has ended or has `max_tokens` tokens.

    Args:
      model: the policy, as it is trained.
      inputs: the prompts.
      key: the step's key, a function of (seed, step).
      rows: a number for each prompt. Completion g of prompt p samples token t by
        fold_in(fold_in(fold_in(key, rows[p]), g), t): a row's tokens do not depend on the
        batch around it.
      sampling: how tokens are sampled.
      group_size: completions per prompt, G.
      max_tokens: T.
      compute: activation dtype.
      compactions: how often the active rows may be halved as rows end.
    """
    model = rollout_weights(model, compute)
    prefix = prefill_prompts(model, inputs, compute)
    return decode(
        model,
        prefix,
        key,
        rows,
        sampling,
        group_size=group_size,
        max_tokens=max_tokens,
        compactions=compactions,
    )


@functools.partial(jax.jit, static_argnames="compute")
def rollout_weights(model: Vlm, compute: ComputeConfig = DEFAULT_COMPUTE) -> Vlm:
    """The model as the sampler reads it: in the activation dtype, sharded for decoding.

    Where it is trained so, the arrays are the model's own.
    """
    return rollout_copy(model, compute.dtype)


@functools.partial(jax.jit, static_argnames="compute")
def prefill_prompts(
    model: Vlm, inputs: ModelInputs, compute: ComputeConfig = DEFAULT_COMPUTE
) -> Prefix:
    """Encode the images and run every prompt once."""
    return prefill(model, inputs, compute)


def decode(
    model: Vlm,
    prefix: Prefix,
    key: jax.Array,
    rows: Int[Array, " P"],
    sampling: Sampling,
    *,
    group_size: int,
    max_tokens: int,
    compactions: int = 0,
    chunk: int = CHUNK,
    between: Callable[[], None] = lambda: None,
) -> Rollout:
    """The second half of `sample`, from the rollout weights and the prefilled prompts.

    `between` is called before each chunk of `chunk` tokens; what it raises ends the decoding.
    """
    decoding = begin_decoding(
        model, prefix, key, rows, group_size=group_size, max_tokens=max_tokens
    )
    for until in range(chunk, max_tokens + chunk, chunk):
        between()
        until = jnp.int32(min(until, max_tokens))
        decoding, ended = decode_chunk(model, decoding, sampling, until, compactions=compactions)
        if ended:
            break
    return decoding.out


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Decoding:
    """P prompts with G rows each, T tokens long at most, whose token `t` comes next.

    `hidden` predicts it. `keys`: of the rows, to sample by. `prefix` and `cache`: transposed keys,
    and values, by layer. `out`: what has been sampled.
    """

    t: Int[Array, ""]
    keys: jax.Array
    prefix: list[KeyValue]
    prefix_mask: Bool[Array, "P N"]
    next_position: Int[Array, " P"]
    hidden: Float[Array, "P G D"]
    cache: list[KeyValue]
    out: Rollout


@functools.partial(jax.jit, static_argnames=("group_size", "max_tokens"))
def begin_decoding(
    model: Vlm,
    prefix: Prefix,
    key: jax.Array,
    rows: Int[Array, " P"],
    *,
    group_size: int,
    max_tokens: int,
) -> Decoding:
    """All rows before their first token."""
    shape = (prefix.mask.shape[0], group_size)
    hidden = prefix.last_hidden[:, None]
    decoding = Decoding(
        t=jnp.int32(0),
        keys=_row_keys(key, rows, group_size),
        prefix=[transpose_keys(*pair) for pair in zip(prefix.keys, prefix.values, strict=True)],
        prefix_mask=prefix.mask,
        next_position=prefix.next_position,
        hidden=jnp.broadcast_to(hidden, (*shape, hidden.shape[-1])),
        cache=model.decoder.empty_cache(shape, max_tokens, prefix.keys.dtype),
        out=Rollout(
            tokens=jnp.full((*shape, max_tokens), model.config.pad_token_id, jnp.int32),
            mask=jnp.zeros((*shape, max_tokens), bool),
            log_probs=jnp.zeros((*shape, max_tokens), jnp.float32),
            terminated=jnp.zeros(shape, bool),
        ),
    )
    return _laid_out(decoding)


@functools.partial(jax.jit, static_argnames="compactions", donate_argnames="decoding")
def decode_chunk(
    model: Vlm,
    decoding: Decoding,
    sampling: Sampling,
    until: Int[Array, ""],
    *,
    compactions: int = 0,
) -> tuple[Decoding, Bool[Array, ""]]:
    """Decode until every row has ended or has `until` tokens; whether they all have ended."""
    step = functools.partial(
        _decoding_step, model=model, layers=model.decoder.unstacked(), sampling=sampling
    )

    def live(rows: Decoding):
        return (rows.t < until) & ~rows.out.terminated.all()

    def steps(rows: Decoding, smaller) -> Decoding:
        """Of these rows, until they fit into `smaller`."""
        return jax.lax.while_loop(
            lambda rows: live(rows) & ~fits(~rows.out.terminated, smaller), step, rows
        )

    def compacted_steps(whole: Decoding, size, smaller) -> Decoding:
        rows = choose_rows(~whole.out.terminated, size)
        return _put(whole, rows, steps(_taken(whole, rows), smaller))

    sizes = bucket_sizes(*decoding.out.terminated.shape, batch_shards(), compactions)
    smaller = [*sizes[1:], None]
    decoding = steps(decoding, smaller[0])
    for pair in zip(sizes[1:], smaller[1:], strict=True):
        decoding = jax.lax.cond(
            live(decoding),
            lambda whole, pair=pair: compacted_steps(whole, *pair),
            lambda whole: whole,
            decoding,
        )
    return _laid_out(decoding), constrain(decoding.out.terminated.all())


def _taken(whole: Decoding, rows: Rows) -> Decoding:
    return dataclasses.replace(
        whole,
        keys=rows.take_rows(whole.keys),
        prefix=jax.tree.map(rows.take_prompts, whole.prefix),
        prefix_mask=rows.take_prompts(whole.prefix_mask),
        next_position=rows.take_prompts(whole.next_position),
        hidden=rows.take_rows(whole.hidden),
        cache=jax.tree.map(lambda x: rows.take_rows(x, axis=2), whole.cache),
        out=jax.tree.map(rows.take_rows, whole.out),
    )


def _put(whole: Decoding, rows: Rows, part: Decoding) -> Decoding:
    return dataclasses.replace(
        whole,
        t=part.t,
        hidden=rows.put_rows(whole.hidden, part.hidden),
        cache=jax.tree.map(lambda x, new: rows.put_rows(x, new, axis=2), whole.cache, part.cache),
        out=jax.tree.map(rows.put_rows, whole.out, part.out),
    )


def _laid_out(decoding: Decoding) -> Decoding:
    """Each chunk's result as it was given: else the next one would be another program on a mesh."""

    def by_batch(x):
        return constrain(x, "batch", *[None] * (x.ndim - 1))

    def by_heads(x):
        return constrain(x, "batch", "heads", *[None] * (x.ndim - 2))

    return Decoding(
        t=constrain(decoding.t),
        keys=by_batch(decoding.keys),
        prefix=jax.tree.map(by_heads, decoding.prefix),
        prefix_mask=by_batch(decoding.prefix_mask),
        next_position=by_batch(decoding.next_position),
        hidden=by_batch(decoding.hidden),
        cache=jax.tree.map(by_heads, decoding.cache),
        out=jax.tree.map(by_batch, decoding.out),
    )


def _row_keys(key: jax.Array, rows: Int[Array, " P"], group: int) -> jax.Array:
    fold = jax.random.fold_in
    return jax.vmap(lambda row: jax.vmap(fold, (None, 0))(fold(key, row), jnp.arange(group)))(rows)


def _decoding_step(rows: Decoding, *, model: Vlm, layers, sampling: Sampling) -> Decoding:
    """Sample the tokens at t, then run the decoder on them."""
    t, out, done = rows.t, rows.out, rows.out.terminated
    decoder, config = model.decoder, model.config
    ending = ending_tokens(sampling, config.eos_token_ids, config.text.vocab_size)

    logits = decoder.logits(rows.hidden)
    token = choose(logits, rows.keys, t, ending, sampling)
    log_prob, _ = chosen_log_probs(logits, token, sampling.temperature)
    token = jnp.where(done, config.pad_token_id, token)
    out = Rollout(
        tokens=out.tokens.at[:, :, t].set(token),
        mask=out.mask.at[:, :, t].set(~done),
        log_probs=out.log_probs.at[:, :, t].set(jnp.where(done, 0.0, log_prob)),
        terminated=done | ending[token],
    )
    written = jnp.arange(out.tokens.shape[2]) <= t
    rotation = completion_rotation(model, rows.next_position, t[None])
    states, cache = decoder.decode(
        layers,
        decoder.embed(token[:, :, None], rows.hidden.dtype),
        Visible(rotation, written, rows.prefix_mask),
        rows.prefix,
        rows.cache,
        t,
    )
    return dataclasses.replace(rows, t=t + 1, hidden=states[:, :, 0], cache=cache, out=out)
