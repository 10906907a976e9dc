"""Group rollouts: each prompt encoded and prefilled once, its G completions sampled together.

The active batch is compacted as rows end: decoding goes on with half the rows of each group, then
half the prompts, as soon as the live rows fit. All of it is one program of a few while loops, so
nothing is recompiled and nothing waits for the host.
"""

import dataclasses
import functools
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


def sample(
    model: Vlm,
    inputs: ModelInputs,
    key: jax.Array,
    rows: Int[Array, "P"],
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _ActiveRows:
    """The rows still decoded: P prompts, G rows each, whose next token `hidden` predicts.

    `prompt` and `row` are their indices in the whole batch. `prefix` and `cache`: transposed keys,
    and values, by layer.
    """

    prompt: Int[Array, "P"]
    row: Int[Array, "P G"]
    prefix: list[KeyValue]
    prefix_mask: Bool[Array, "P N"]
    next_position: Int[Array, "P"]
    hidden: Float[Array, "P G D"]
    cache: list[KeyValue]
    out: Rollout


@functools.partial(jax.jit, static_argnames=("group_size", "max_tokens", "compactions"))
def decode(
    model: Vlm,
    prefix: Prefix,
    key: jax.Array,
    rows: Int[Array, "P"],
    sampling: Sampling,
    *,
    group_size: int,
    max_tokens: int,
    compactions: int = 0,
) -> Rollout:
    """The second half of `sample`, from the rollout weights and the prefilled prompts."""
    layers = model.decoder.unstacked()
    active = _all_rows(model, prefix, group_size, max_tokens)
    rollout, t = active.out, jnp.int32(0)
    sizes = bucket_sizes(*active.row.shape, batch_shards(), compactions)
    for size, smaller in zip(sizes, [*sizes[1:], None], strict=True):
        active = active if size == sizes[0] else _compacted(active, size)
        keys = _row_keys(key, rows[active.prompt], active.row)
        step = functools.partial(
            _decoding_step, model=model, layers=layers, keys=keys, sampling=sampling
        )

        def unfinished(state, smaller=smaller):
            t, active = state
            live = ~active.out.terminated
            return (t < max_tokens) & jnp.any(live) & ~_fits(live, smaller)

        t, active = jax.lax.while_loop(unfinished, step, (t, active))
        index = (active.prompt[:, None], active.row)
        rollout = jax.tree.map(lambda x, new, i=index: x.at[i].set(new), rollout, active.out)
    return jax.tree.map(lambda x: constrain(x, "batch", *[None] * (x.ndim - 1)), rollout)


def bucket_sizes(prompts: int, group: int, shards: int, compactions: int) -> list[tuple[int, int]]:
    """(prompts, rows per group) after each compaction: groups are halved first, then prompts.

    Prompts stay on their shard, so each of the `shards` holds equally many.
    """
    sizes = [(prompts, group)]
    while len(sizes) <= compactions:
        prompts, group = sizes[-1]
        if group > 2:
            sizes.append((prompts, group // 2))
        elif prompts // shards > 1:
            sizes.append((shards * (prompts // shards // 2), group))
        else:
            break
    return sizes


def _fits(live: Bool[Array, "P G"], size: tuple[int, int] | None) -> Bool[Array, ""]:
    """Whether the live rows fit into `size`; False for None, where there is no smaller one."""
    if size is None:
        return jnp.bool_(False)
    shards = batch_shards()
    prompts = live.any(axis=1).reshape(shards, -1).sum(axis=1)
    return (live.sum(axis=1).max() <= size[1]) & (prompts.max() <= size[0] // shards)


def _all_rows(model: Vlm, prefix: Prefix, group: int, length: int) -> _ActiveRows:
    shape = (prefix.mask.shape[0], group)
    hidden = prefix.last_hidden[:, None]
    return _ActiveRows(
        prompt=jnp.arange(shape[0]),
        row=jnp.broadcast_to(jnp.arange(group), shape),
        prefix=[transpose_keys(*pair) for pair in zip(prefix.keys, prefix.values, strict=True)],
        prefix_mask=prefix.mask,
        next_position=prefix.next_position,
        hidden=jnp.broadcast_to(hidden, (*shape, hidden.shape[-1])),
        cache=model.decoder.empty_cache(shape, length, prefix.keys.dtype),
        out=Rollout(
            tokens=jnp.full((*shape, length), model.config.pad_token_id, jnp.int32),
            mask=jnp.zeros((*shape, length), bool),
            log_probs=jnp.zeros((*shape, length), jnp.float32),
            terminated=jnp.zeros(shape, bool),
        ),
    )


def _row_keys(key: jax.Array, rows: Int[Array, "P"], group: Int[Array, "P G"]) -> jax.Array:
    fold = jax.random.fold_in
    return jax.vmap(lambda row, group: jax.vmap(fold, (None, 0))(fold(key, row), group))(
        rows, group
    )


def _decoding_step(
    state: tuple[jax.Array, _ActiveRows], *, model: Vlm, layers, keys, sampling: Sampling
) -> tuple[jax.Array, _ActiveRows]:
    """Sample the tokens at t, then run the decoder on them."""
    t, active = state
    out, done = active.out, active.out.terminated
    decoder, config = model.decoder, model.config
    ending = ending_tokens(sampling, config.eos_token_ids, config.text.vocab_size)

    logits = decoder.logits(active.hidden)
    token = choose(logits, keys, t, ending, sampling)
    log_prob, _ = chosen_log_probs(logits, token, sampling.temperature)
    token = jnp.where(done, config.pad_token_id, token)
    out = Rollout(
        tokens=out.tokens.at[:, :, t].set(token),
        mask=out.mask.at[:, :, t].set(~done),
        log_probs=out.log_probs.at[:, :, t].set(jnp.where(done, 0.0, log_prob)),
        terminated=done | ending[token],
    )
    written = jnp.arange(out.tokens.shape[2]) <= t
    rotation = completion_rotation(model, active.next_position, t[None])
    states, cache = decoder.decode(
        layers,
        decoder.embed(token[:, :, None], active.hidden.dtype),
        Visible(rotation, written, active.prefix_mask),
        active.prefix,
        active.cache,
        t,
    )
    return t + 1, dataclasses.replace(active, hidden=states[:, :, 0], cache=cache, out=out)


def _compacted(active: _ActiveRows, size: tuple[int, int]) -> _ActiveRows:
    """`active` cut to `size` = (prompts, rows per group): all live rows, ended ones as filling.

    Prompts stay on their shard. For example 4 prompts of 4 rows on 2 shards, cut to (2, 2); live
    rows are 1:

        shard 0:  prompt 0  0 0 0 0    prompt 1  0 1 0 1
        shard 1:  prompt 2  1 0 0 0    prompt 3  0 0 0 0

    `kept_prompts` [2 shards, 1] = [[1], [0]], counted within a shard: prompts 1 and 2.
    `kept_rows` [2 shards, 1, 2] = [[[1, 3]], [[0, 1]]]: the live rows of prompt 1; of prompt 2 the
    live row 0 and, as filling, row 1.
    """
    shards, fewer_prompts = batch_shards(), size[0] < active.prompt.shape[0]

    def by_shard(x):
        return x.reshape(shards, -1, *x.shape[1:])

    def joined(x):
        return x.reshape(-1, *x.shape[2:])

    # 1. Which prompts of each shard, [shards, prompts per shard].
    live = by_shard(~active.out.terminated)
    if fewer_prompts:
        kept_prompts = _true_first(live.any(axis=2), size[0] // shards)
    else:
        kept_prompts = jnp.broadcast_to(jnp.arange(live.shape[1]), live.shape[:2])

    # 2. Which rows of each of these, [shards, prompts per shard, rows].
    live = jnp.take_along_axis(live, kept_prompts[:, :, None], axis=1)
    kept_rows = _true_first(live, size[1])

    # 3. Gather both on each shard.
    def take_prompts(x):
        if not fewer_prompts:
            return x
        return joined(jax.vmap(lambda x, prompts: x[prompts])(by_shard(x), kept_prompts))

    def take_rows(x, axis=1):
        """`axis` is that of the group."""
        x = by_shard(jnp.moveaxis(x, axis, 1))
        x = jax.vmap(lambda x, prompts, rows: x[prompts[:, None], rows])(x, kept_prompts, kept_rows)
        return jnp.moveaxis(joined(x), 1, axis)

    return _ActiveRows(
        prompt=take_prompts(active.prompt),
        row=take_rows(active.row),
        prefix=jax.tree.map(take_prompts, active.prefix),
        prefix_mask=take_prompts(active.prefix_mask),
        next_position=take_prompts(active.next_position),
        hidden=take_rows(active.hidden),
        cache=jax.tree.map(lambda x: take_rows(x, axis=2), active.cache),
        out=jax.tree.map(take_rows, active.out),
    )


def _true_first(flags: Bool[Array, "... n"], count: int) -> Int[Array, "... count"]:
    """Indices of `count` entries along the last axis: the True ones in order, then the others."""
    return jnp.argsort(~flags, axis=-1, stable=True)[..., :count]
