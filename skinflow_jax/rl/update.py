"""Policy updates from a scored rollout, as jitted functions.

The prompt is encoded and prefilled once per group here too; its gradient is the sum over the
completions that attend to it.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.log_probs import token_log_probs
from skinflow_jax.models.vlm import ComputeConfig, Vlm, completion_states, prefill
from skinflow_jax.parallel import constrain
from skinflow_jax.rl.advantages import group_advantages, reward_metrics
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.losses import (
    PolicyLossConfig,
    finish_policy_loss,
    merge_policy_sums,
    policy_loss_sums,
)
from skinflow_jax.rl.sampler import Rollout
from skinflow_jax.training.gradients import accumulated_gradients, joined_parts, strided_parts
from skinflow_jax.training.state import TrainState, apply_gradients, is_finite


def rollout_log_probs(
    model: Vlm, inputs: ModelInputs, rollout: Rollout, temperature, compute: ComputeConfig
) -> tuple[Float[Array, "P G T"], Float[Array, "P G T"]]:
    """The learner's log-probabilities and entropies of a rollout's tokens."""
    states = completion_states(model, prefill(model, inputs, compute), rollout.tokens, compute)
    return token_log_probs(model, states, rollout.tokens, temperature)


@functools.partial(jax.jit, static_argnames=("temperature", "compute", "micro_batches"))
def fixed_log_probs(
    model: Vlm,
    inputs: ModelInputs,
    rollout: Rollout,
    *,
    temperature: float,
    compute: ComputeConfig,
    micro_batches: int,
) -> Float[Array, "P G T"]:
    """Log-probabilities that are constant during the update: of the old policy or the reference."""

    def of_micro_batch(part):
        return rollout_log_probs(model, *part, temperature, compute)[0]

    parts = strided_parts((inputs, rollout), micro_batches)
    return joined_parts(jax.lax.map(of_micro_batch, parts))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GroupScores:
    """Advantages of a rollout; `informative`: groups with a nonzero one that is learned from."""

    advantages: Float[Array, "P G"]
    informative: Bool[Array, " P"]
    metrics: dict[str, jax.Array]


@functools.partial(jax.jit, static_argnames=("config", "names"))
def score_rollout(
    rewards: Float[Array, "P G R"],
    terminated: Bool[Array, "P G"],
    *,
    config: GrpoConfig,
    names: tuple[str, ...],
) -> GroupScores:
    """Advantages of rewards in which NaN is "not scored"."""
    prompts, group, _ = rewards.shape
    advantages = group_advantages(
        rewards.reshape(prompts * group, -1),
        group,
        weights=config.weights,
        normalize=config.advantages,
    )
    advantages = constrain(advantages.reshape(prompts, group), "batch", None)
    learned = terminated if config.mask_truncated else jnp.ones_like(terminated)
    informative = constrain(jnp.any((advantages != 0) & learned, axis=1), "batch")
    metrics = reward_metrics(rewards, names, weights=config.weights)
    if config.max_refills:
        metrics["dynamic_sampling/informative"] = informative.mean()
    return GroupScores(advantages, informative, metrics)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PolicyBatch:
    """What an update learns from; leading axis: prompts.

    `old` is None where the rollout is on-policy (a single optimizer step), `reference` where
    there is no KL.
    """

    inputs: ModelInputs
    rollout: Rollout
    advantages: Float[Array, "P G"]
    old: Float[Array, "P G T"] | None = None
    reference: Float[Array, "P G T"] | None = None


def policy_sums(
    model: Vlm,
    batch: PolicyBatch,
    *,
    temperature: float,
    loss: PolicyLossConfig,
    compute: ComputeConfig,
    mask_truncated: bool = False,
):
    """Sums and counts of the policy loss of `batch` and of its metrics.

    Without old log-probabilities the current policy is the old one: its ratio is 1 and carries
    the gradient.
    """
    rollout = batch.rollout
    log_probs, entropy = rollout_log_probs(model, batch.inputs, rollout, temperature, compute)

    def rows(x):
        return None if x is None else x.reshape(-1, x.shape[-1])

    mask = rows(rollout.mask)
    if mask_truncated:
        mask &= rollout.terminated.reshape(-1, 1)
    old = log_probs if batch.old is None else batch.old
    old = jax.lax.stop_gradient(rows(old))
    sums, counts = policy_loss_sums(
        rows(log_probs),
        old,
        batch.advantages.reshape(-1),
        mask,
        config=loss,
        ref_logps=rows(batch.reference),
        sampler_logps=rows(rollout.log_probs),
    )
    difference = jnp.where(mask, jnp.abs(old - rows(rollout.log_probs)), 0.0)
    extra = {
        "entropy": jnp.sum(jnp.where(mask, rows(entropy), 0.0)),
        "sampler/logp_diff_mean": jnp.sum(difference),
    }
    tokens = jnp.sum(mask).astype(jnp.float32)
    sums, counts = sums | extra, counts | dict.fromkeys(extra, tokens)
    return sums["loss"], (sums, counts, jax.lax.stop_gradient(jnp.max(difference)))


def _merge(one, other):
    sums, counts = merge_policy_sums(one[:2], other[:2])
    return sums, counts, jnp.maximum(one[2], other[2])


@functools.partial(
    jax.jit,
    static_argnames=("optimizer", "config", "compute", "micro_batches"),
    donate_argnums=0,
)
def policy_update(
    state: TrainState,
    batch: PolicyBatch,
    *,
    optimizer,
    config: GrpoConfig,
    compute: ComputeConfig,
    micro_batches: int,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """All optimizer steps of a rollout: (state, metrics).

    Metrics are means over the optimizer steps; those called min or max are extremes.
    `optimizer_steps` are those taken: neither the first whose loss or gradient is not finite nor
    any after it.
    """
    sums = functools.partial(
        policy_sums,
        temperature=config.temperature,
        loss=config.loss,
        compute=compute,
        mask_truncated=config.mask_truncated,
    )

    def update(carry, part):
        state, finite = carry
        gradients, (totals, counts, difference) = accumulated_gradients(
            sums, state.model, part, micro_batches, _merge
        )
        gradients = jax.tree.map(lambda g: g / jnp.maximum(counts["loss"], 1), gradients)
        metrics = finish_policy_loss(totals, counts) | {
            "sampler/logp_diff_max": difference,
            "grad_norm": optax.global_norm(gradients),
        }
        finite &= is_finite(metrics)
        state = apply_gradients(state, gradients, optimizer, where=finite)
        return (state, finite), metrics | {"optimizer_steps": finite.astype(jnp.float32)}

    start = (state, jnp.bool_(True))
    if config.updates == 1:
        (state, _), metrics = update(start, batch)
    else:
        parts = strided_parts(batch, config.mini_batches)
        (state, _), metrics = jax.lax.scan(
            lambda carry, i: update(carry, jax.tree.map(lambda x: x[i], parts)),
            start,
            jnp.arange(config.updates) % config.mini_batches,
        )
        metrics = {name: _over_updates(name, values) for name, values in metrics.items()}
    state = dataclasses.replace(state, step=state.step + 1)
    return state, metrics | completion_metrics(batch.rollout)


@functools.partial(jax.jit, static_argnames="of")
def mini_batch(batch: PolicyBatch, index, *, of: int) -> PolicyBatch:
    """Mini-batch `index` `of` so many: the prompts of one optimizer step."""
    return jax.tree.map(lambda x: x[index], strided_parts(batch, of))


def _over_updates(name: str, values: jax.Array) -> jax.Array:
    if name == "optimizer_steps":
        return values.sum()
    if name.endswith("_max"):
        return values.max()
    return values.min() if name.endswith("_min") else values.mean()


def completion_metrics(rollout: Rollout) -> dict[str, jax.Array]:
    """Lengths in tokens by TRL's names; `terminated` completions are those not truncated."""
    lengths = rollout.mask.sum(axis=-1).astype(jnp.float32)
    ended = rollout.terminated
    some = jnp.any(ended)
    return {
        "completions/mean_length": lengths.mean(),
        "completions/min_length": lengths.min(),
        "completions/max_length": lengths.max(),
        "completions/clipped_ratio": 1.0 - ended.mean(),
        "completions/mean_terminated_length": jnp.where(
            some, jnp.sum(jnp.where(ended, lengths, 0.0)) / jnp.maximum(ended.sum(), 1), 0.0
        ),
        "completions/min_terminated_length": jnp.where(
            some, jnp.min(jnp.where(ended, lengths, jnp.inf)), 0.0
        ),
        "completions/max_terminated_length": jnp.max(jnp.where(ended, lengths, 0.0)),
        "num_tokens": lengths.sum(),
    }
