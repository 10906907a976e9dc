"""Group rollouts: each prompt encoded and prefilled once, its G completions sampled together."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from skinflow_jax.models.decoder import Visible
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.log_probs import chosen_log_probs
from skinflow_jax.models.vlm import (
    DEFAULT_COMPUTE,
    ComputeConfig,
    Vlm,
    completion_angles,
    prefill,
)
from skinflow_jax.parallel import constrain, rollout_copy


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rollout:
    """G completions of each of P prompts, at most T tokens.

    `mask` is True at sampled tokens, the end token included; after it there are pads.
    `log_probs` are the sampler's own, of the chosen tokens at the sampling temperature, 0 at
    pads. `terminated` is False where the limit cut a completion.
    """

    tokens: Int[Array, "P G T"]
    mask: Bool[Array, "P G T"]
    log_probs: Float[Array, "P G T"]
    terminated: Bool[Array, "P G"]


@functools.partial(jax.jit, static_argnames=("group_size", "max_tokens", "compute"))
def sample(
    model: Vlm,
    inputs: ModelInputs,
    key: jax.Array,
    rows: Int[Array, "P"],
    temperature: float | jax.Array,
    *,
    group_size: int,
    max_tokens: int,
    compute: ComputeConfig = DEFAULT_COMPUTE,
) -> Rollout:
    """Sample until every row has ended or `max_tokens` are there.

    Args:
      model: the policy.
      inputs: the prompts.
      key: the step's key, a function of (seed, step).
      rows: a number for each prompt. Completion g of prompt p draws token t from
        fold_in(fold_in(fold_in(key, rows[p]), g), t): what a row draws does not depend on the
        batch around it.
      temperature: 0 takes the likeliest token.
      group_size: completions a prompt, G.
      max_tokens: T.
      compute: activation type.
    """
    model = rollout_copy(model, compute.dtype)
    prefix = prefill(model, inputs, compute)
    decoder, config = model.decoder, model.config
    layers = decoder.unstacked()
    shared = [(prefix.keys[i], prefix.values[i]) for i in range(len(layers))]
    shape = (rows.shape[0], group_size)
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    groups = jnp.arange(group_size)
    row_keys = jax.vmap(
        lambda row: jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, row), groups)
    )(rows).reshape(-1)

    def choose(logits, t):
        def draw(logits):
            noise = jax.vmap(lambda k: jax.random.gumbel(k, logits.shape[-1:]))(fold(row_keys, t))
            return logits / temperature + noise.reshape(logits.shape)

        scores = jax.lax.cond(temperature > 0, draw, lambda logits: logits, logits)
        return jnp.argmax(scores, axis=-1).astype(jnp.int32)

    def unfinished(state):
        t, done, *_ = state
        return (t < max_tokens) & ~jnp.all(done)

    def step(state):
        t, done, hidden, cache, tokens, mask, log_probs = state
        logits = decoder.logits(hidden)
        token = choose(logits, t)
        log_prob, _ = chosen_log_probs(logits, token, temperature)
        token = jnp.where(done, config.pad_token_id, token)
        tokens = tokens.at[:, :, t].set(token)
        mask = mask.at[:, :, t].set(~done)
        log_probs = log_probs.at[:, :, t].set(jnp.where(done, 0.0, log_prob))
        done = done | jnp.isin(token, jnp.array(config.eos_token_ids))
        x = decoder.embed(token[:, :, None], jnp.dtype(compute.dtype))
        visible = Visible(
            completion_angles(model, prefix, t[None]), jnp.arange(max_tokens) <= t, prefix.mask
        )
        states, cache = decoder.decode(layers, x, visible, shared, cache, t)
        return t + 1, done, states[:, :, 0], cache, tokens, mask, log_probs

    start = (
        jnp.int32(0),
        jnp.zeros(shape, bool),
        jnp.broadcast_to(prefix.last_hidden[:, None], (*shape, prefix.last_hidden.shape[-1])),
        decoder.empty_cache(shape, max_tokens, prefix.keys.dtype),
        jnp.full((*shape, max_tokens), config.pad_token_id, jnp.int32),
        jnp.zeros((*shape, max_tokens), bool),
        jnp.zeros((*shape, max_tokens), jnp.float32),
    )
    _, done, _, _, tokens, mask, log_probs = jax.lax.while_loop(unfinished, step, start)
    rollout = Rollout(tokens=tokens, mask=mask, log_probs=log_probs, terminated=done)
    return jax.tree.map(lambda x: constrain(x, "batch", *[None] * (x.ndim - 1)), rollout)
