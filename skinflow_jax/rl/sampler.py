"""Group rollouts: each prompt encoded and prefilled once, its G completions sampled together.

Decoding shrinks as rows end: it goes on with half the rows of each group, then half the prompts,
as soon as the live ones fit. All of it is one program of a few loops, so nothing is compiled again
and nothing waits for the host.
"""

import dataclasses
import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from skinflow_jax.models.attention import KeyValue
from skinflow_jax.models.decoder import Visible, turned
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

    `mask` is True at sampled tokens, the end token included; after it there are pads.
    `log_probs` are the sampler's own, of the chosen tokens under softmax(logits / temperature)
    over the whole vocabulary, whatever top-k, top-p and min_tokens left out; 0 at pads.
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
    """Sample until every row has ended or `max_tokens` are there.

    Args:
      model: the policy, as it is trained.
      inputs: the prompts.
      key: the step's key, a function of (seed, step).
      rows: a number for each prompt. Completion g of prompt p draws token t from
        fold_in(fold_in(fold_in(key, rows[p]), g), t): what a row draws does not depend on the
        batch around it.
      sampling: how tokens are drawn.
      group_size: completions a prompt, G.
      max_tokens: T.
      compute: activation type.
      compactions: how often the rows in work may be halved as rows end.
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
    """The model as the sampler reads it: in the activations' type, laid out for decoding.

    Where that is how it is trained, the arrays are the model's own.
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
class _Rows:
    """The rows in work: P prompts, G rows each, whose next token `hidden` predicts.

    `prompt` and `row` say which of all rows they are. `prefix` and `cache`: keys, turned,
    and values by layer.
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
    work = _all_rows(model, prefix, group_size, max_tokens)
    whole, t = work.out, jnp.int32(0)
    sizes = bucket_sizes(*work.row.shape, batch_shards(), compactions)
    for size, smaller in zip(sizes, [*sizes[1:], None], strict=True):
        work = work if size == sizes[0] else _compacted(work, size)
        keys = _row_keys(key, rows[work.prompt], work.row)
        step = functools.partial(
            _decoding_step, model=model, layers=layers, keys=keys, sampling=sampling
        )

        def unfinished(state, smaller=smaller):
            t, work = state
            live = ~work.out.terminated
            return (t < max_tokens) & jnp.any(live) & ~_fits(live, smaller)

        t, work = jax.lax.while_loop(unfinished, step, (t, work))
        here = (work.prompt[:, None], work.row)
        whole = jax.tree.map(lambda x, part, here=here: x.at[here].set(part), whole, work.out)
    return jax.tree.map(lambda x: constrain(x, "batch", *[None] * (x.ndim - 1)), whole)


def bucket_sizes(prompts: int, group: int, shards: int, compactions: int) -> list[tuple[int, int]]:
    """(prompts, rows a group) that decoding shrinks through: groups first, then prompts.

    Every device keeps its own prompts, so each of the `shards` holds equally many.
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
    """Whether the live rows find room in `size`; never where there is no smaller one."""
    if size is None:
        return jnp.bool_(False)
    shards = batch_shards()
    prompts = live.any(axis=1).reshape(shards, -1).sum(axis=1)
    return (live.sum(axis=1).max() <= size[1]) & (prompts.max() <= size[0] // shards)


def _all_rows(model: Vlm, prefix: Prefix, group: int, length: int) -> _Rows:
    shape = (prefix.mask.shape[0], group)
    hidden = prefix.last_hidden[:, None]
    return _Rows(
        prompt=jnp.arange(shape[0]),
        row=jnp.broadcast_to(jnp.arange(group), shape),
        prefix=[turned(*pair) for pair in zip(prefix.keys, prefix.values, strict=True)],
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
    state: tuple[jax.Array, _Rows], *, model: Vlm, layers, keys, sampling: Sampling
) -> tuple[jax.Array, _Rows]:
    """Draw the tokens at t and read them."""
    t, work = state
    out, done = work.out, work.out.terminated
    decoder, config = model.decoder, model.config
    ending = ending_tokens(sampling, config.eos_token_ids, config.text.vocab_size)

    logits = decoder.logits(work.hidden)
    token = choose(logits, keys, t, ending, sampling)
    log_prob, _ = chosen_log_probs(logits, token, sampling.temperature)
    token = jnp.where(done, config.pad_token_id, token)
    out = Rollout(
        tokens=out.tokens.at[:, :, t].set(token),
        mask=out.mask.at[:, :, t].set(~done),
        log_probs=out.log_probs.at[:, :, t].set(jnp.where(done, 0.0, log_prob)),
        terminated=done | ending[token],
    )
    seen = jnp.arange(out.tokens.shape[2]) <= t
    rotation = completion_rotation(model, work.next_position, t[None])
    states, cache = decoder.decode(
        layers,
        decoder.embed(token[:, :, None], work.hidden.dtype),
        Visible(rotation, seen, work.prefix_mask),
        work.prefix,
        work.cache,
        t,
    )
    return t + 1, dataclasses.replace(work, hidden=states[:, :, 0], cache=cache, out=out)


def _compacted(work: _Rows, size: tuple[int, int]) -> _Rows:
    """The live rows, and as many ended ones as fill up `size`; each device keeps its own."""
    shards, fewer_prompts = batch_shards(), size[0] < work.prompt.shape[0]
    live = (~work.out.terminated).reshape(shards, -1, work.row.shape[1])
    prompts = jnp.argsort(~live.any(axis=2), axis=1, stable=True)[:, : size[0] // shards]
    if not fewer_prompts:
        prompts = jnp.broadcast_to(jnp.arange(live.shape[1]), live.shape[:2])
    rows = jnp.argsort(~live, axis=2, stable=True)[:, :, : size[1]]

    def take(x, *index):
        by_shard = x.reshape(shards, -1, *x.shape[1:])
        taken = jax.vmap(lambda x, *index: x[index])(by_shard, *index)
        return taken.reshape(-1, *taken.shape[2:])

    def take_prompts(x):
        return take(x, prompts) if fewer_prompts else x

    rows = jax.vmap(lambda rows, prompts: rows[prompts])(rows, prompts)

    def take_rows(x, axis=1):
        taken = take(jnp.moveaxis(x, axis, 1), prompts[:, :, None], rows)
        return jnp.moveaxis(taken, 1, axis)

    return _Rows(
        prompt=take_prompts(work.prompt),
        row=take_rows(work.row),
        prefix=jax.tree.map(take_prompts, work.prefix),
        prefix_mask=take_prompts(work.prefix_mask),
        next_position=take_prompts(work.next_position),
        hidden=take_rows(work.hidden),
        cache=jax.tree.map(lambda x: take_rows(x, axis=2), work.cache),
        out=jax.tree.map(take_rows, work.out),
    )
