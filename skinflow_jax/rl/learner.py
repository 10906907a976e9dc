"""GRPO: sample a group for each prompt, score the texts, take one clipped policy step."""

import functools
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import optax

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.log_probs import token_log_probs
from skinflow_jax.models.vlm import ComputeConfig, Vlm, completion_states, prefill
from skinflow_jax.parallel import constrain, local_rows, place_batch, place_module
from skinflow_jax.rl.advantages import group_advantages, reward_metrics
from skinflow_jax.rl.losses import (
    PolicyLossConfig,
    finish_policy_loss,
    merge_policy_sums,
    policy_loss_sums,
)
from skinflow_jax.rl.rewards import REWARDS, score
from skinflow_jax.rl.sampler import Rollout, sample
from skinflow_jax.training.gradients import accumulated_gradients
from skinflow_jax.training.loop import StepResult
from skinflow_jax.training.state import TrainState, apply_gradients


@dataclass(frozen=True)
class GrpoConfig:
    """Rollouts and policy loss. `rewards` name the functions whose values are summed."""

    group_size: int = 8
    max_tokens: int = 512
    temperature: float = 1.0
    rewards: tuple[str, ...] = ("caption", "diagnosis")
    advantages: str = "group"
    loss: PolicyLossConfig = field(default_factory=PolicyLossConfig)

    def __post_init__(self):
        if self.group_size < 2:
            raise ConfigError(
                f"rl.group_size={self.group_size}: an advantage compares at least 2 completions"
            )
        if self.temperature <= 0:
            raise ConfigError(f"rl.temperature={self.temperature} must be positive to explore")
        unknown = sorted(set(self.rewards) - set(REWARDS))
        if unknown or not self.rewards:
            raise ConfigError(f"rl.rewards={self.rewards}: choose from {', '.join(REWARDS)}")


def rollout_log_probs(
    model: Vlm, inputs, rollout: Rollout, temperature, compute: ComputeConfig
) -> tuple[jax.Array, jax.Array]:
    """The learner's log-probabilities and entropies `[P, G, T]` of a rollout's tokens."""
    states = completion_states(model, prefill(model, inputs, compute), rollout.tokens, compute)
    return token_log_probs(model, states, rollout.tokens, temperature)


def policy_sums(
    model: Vlm,
    batch,
    *,
    reference: Vlm | None,
    temperature: float,
    loss: PolicyLossConfig,
    compute: ComputeConfig,
):
    """Unreduced policy loss of `batch` = (inputs, rollout, advantages `[P, G]`).

    One optimizer step is taken per rollout, so the current policy is the old one: its ratio is 1
    and carries the gradient.
    """
    inputs, rollout, advantages = batch
    log_probs, entropy = rollout_log_probs(model, inputs, rollout, temperature, compute)
    reference_log_probs = None
    if reference is not None:
        reference_log_probs, _ = jax.lax.stop_gradient(
            rollout_log_probs(reference, inputs, rollout, temperature, compute)
        )

    def rows(x):
        return None if x is None else x.reshape(-1, x.shape[-1])

    mask = rows(rollout.mask)
    sums, counts = policy_loss_sums(
        rows(log_probs),
        jax.lax.stop_gradient(rows(log_probs)),
        advantages.reshape(-1),
        mask,
        config=loss,
        ref_logps=rows(reference_log_probs),
        sampler_logps=rows(rollout.log_probs),
    )
    difference = jnp.where(mask, jnp.abs(rows(log_probs) - rows(rollout.log_probs)), 0.0)
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
    reference: Vlm | None,
    inputs,
    rollout: Rollout,
    rewards: jax.Array,
    *,
    optimizer,
    config: GrpoConfig,
    compute: ComputeConfig,
    micro_batches: int,
) -> tuple[TrainState, dict[str, jax.Array], jax.Array]:
    """One optimizer step from a scored rollout: (state, metrics, advantages `[P, G]`).

    The prompt is encoded and prefilled once per group here too; its gradient is the sum over the
    completions that attend to it. `rewards`: `[P, G, R]`, NaN where a function does not apply.
    """
    prompts, group, _ = rewards.shape
    advantages = group_advantages(
        rewards.reshape(prompts * group, -1), group, normalize=config.advantages
    ).reshape(prompts, group)
    gradients, (sums, counts, difference) = accumulated_gradients(
        functools.partial(
            policy_sums,
            reference=reference,
            temperature=config.temperature,
            loss=config.loss,
            compute=compute,
        ),
        state.model,
        (inputs, rollout, advantages),
        micro_batches,
        _merge,
    )
    gradients = jax.tree.map(lambda g: g / jnp.maximum(counts["loss"], 1), gradients)
    metrics = finish_policy_loss(sums, counts)
    metrics |= reward_metrics(rewards, config.rewards) | completion_metrics(rollout)
    metrics |= {
        "sampler/logp_diff_max": difference,
        "grad_norm": optax.global_norm(gradients),
    }
    state = apply_gradients(state, gradients, optimizer)
    return state, metrics, constrain(advantages, "batch", None)


def completion_metrics(rollout: Rollout) -> dict[str, jax.Array]:
    """Lengths in tokens by TRL's names; `terminated` ones ended by themselves."""
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


class GrpoLearner:
    """The `grpo` algorithm for the shared loop."""

    def __init__(
        self,
        optimizer,
        tokenizer,
        config: GrpoConfig,
        *,
        seed: int,
        compute: ComputeConfig,
        reference: Vlm | None = None,
        micro_batches: int = 1,
        mesh=None,
    ):
        if (config.loss.kl_coef > 0) != (reference is not None):
            raise ConfigError("rl.loss.kl_coef > 0 and a reference model go together")
        self._tokenizer, self._config, self._mesh = tokenizer, config, mesh
        self._key = jax.random.key(seed)
        self._compute, self._reference = compute, place_module(reference, mesh)
        self._functions = {name: REWARDS[name] for name in config.rewards}
        self._update = functools.partial(
            policy_update,
            optimizer=optimizer,
            config=config,
            compute=compute,
            micro_batches=micro_batches,
        )

    def step(self, state: TrainState, batch, step: int) -> StepResult:
        """Sample, score and update on the prompts of `batch`."""
        config = self._config
        inputs = place_batch(batch.inputs, self._mesh)
        first = jax.process_index() * len(batch.examples)
        rows = place_batch(np.arange(first, first + len(batch.examples)), self._mesh)
        rollout = sample(
            state.model,
            inputs,
            jax.random.fold_in(self._key, step),
            rows,
            config.temperature,
            group_size=config.group_size,
            max_tokens=config.max_tokens,
            compute=self._compute,
        )
        texts = completion_texts(rollout, self._tokenizer)
        rewards = score(texts, batch.examples, self._functions)
        state, metrics, advantages = self._update(
            state, self._reference, inputs, rollout, place_batch(rewards, self._mesh)
        )
        return StepResult(
            state,
            metrics,
            rollouts=_rollout_rows(batch.examples, texts, rewards, local_rows(advantages), config),
            images=_same_size_images(batch.examples),
        )


def completion_texts(rollout: Rollout, tokenizer) -> list[list[str]]:
    """This process's completions as text, `[P][G]`, without special tokens."""
    tokens, mask = local_rows(rollout.tokens), local_rows(rollout.mask)
    return [
        [tokenizer.decode(row[seen].tolist()) for row, seen in zip(*group, strict=True)]
        for group in zip(tokens, mask, strict=True)
    ]


def _rollout_rows(examples, texts, rewards, advantages, config: GrpoConfig) -> list[dict]:
    return [
        {
            "case_id": example.case_id,
            "task": example.task,
            "completion": text,
            "rewards": {
                name: None if np.isnan(value) else float(value)
                for name, value in zip(config.rewards, values, strict=True)
            },
            "advantage": float(advantage),
        }
        for example, *group in zip(examples, texts, rewards, advantages, strict=True)
        for text, values, advantage in zip(*group, strict=True)
    ]


def _same_size_images(examples, most: int = 4) -> np.ndarray | None:
    """The first images that share the first one's size, for the log."""
    images = [e.image for e in examples if e.image.shape == examples[0].image.shape]
    return np.stack(images[:most]) if images else None
