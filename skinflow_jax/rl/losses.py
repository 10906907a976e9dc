"""GRPO's family of policy losses, carried as sums and counts that are divided once.

A loss averaged per micro-batch or per device is not the loss of the batch when completions differ
in length. Here every part returns what it adds to numerator and denominator; `merge_policy_sums`
merges parts, `finish_policy_loss` divides. Names: l, o, s, f are the current, old, sampler's and
reference's log-probabilities of the taken tokens, A the advantage, c = exp(l − o) the ratio.
"""

import warnings
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.typed_fields import MOST_TOKENS, Finite, OneOf, Whole, check_fields

CLIPPED_LOSSES = ("grpo", "dapo", "bnpo", "dr_grpo", "gspo")
LOSS_TYPES = (*CLIPPED_LOSSES, "cispo", "sapo")
TOKEN_MEAN_LOSSES = ("dapo", "bnpo", "cispo")
KL_ESTIMATORS = ("k1", "k2", "k3")
SAMPLER_LEVELS = ("token", "sequence")
LOG_RATIO_LIMIT = 20.0
Positive = Annotated[float, Finite(above=0, most=1e6)]

# Not additive: the extremes over sequences, with the operation that merges two parts.
EXTREMES = {"clip_ratio/low_min": jnp.minimum, "clip_ratio/high_max": jnp.maximum}

Sums = dict[str, jax.Array]


@dataclass(frozen=True)
class PolicyLossConfig:
    """Which policy loss, and its constants. Raises ConfigError for values that make no sense.

    Attributes:
      loss_type: `grpo` (mean over sequences of their token means), `dapo` and `bnpo` (mean over
        tokens: the same thing when it is exact under accumulation), `dr_grpo` (divided by
        sequences × max_completion_length), `gspo` (grpo with the sequence's ratio), `cispo`
        (token mean, detached weight), `sapo` (sequence mean, soft gate).
      clip_low, clip_high: the ratio is clipped to [1 − clip_low, 1 + clip_high].
      cispo_cap: absolute cap of cispo's weight (TRL); None clips it to the range above (verl).
      dual_clip: for A < 0 the loss is at most −dual_clip·A (verl uses 3); None is off.
      delta: upper bound of the ratio in the unclipped term (TRL); None is off.
      sapo_tau_pos, sapo_tau_neg: sapo's temperature for A > 0 and for the others.
      kl_coef: β of the KL to the reference, added per token.
      kl_estimator: `k1`, `k2` or `k3`.
      sampler_cap: cap of exp(o − s), by which the objective is multiplied when sampler
        log-probabilities are given (truncated importance sampling); None is off.
      sampler_level: `token`, or `sequence` for the product over the sequence's tokens.
      max_completion_length: tokens; needed by dr_grpo.
    """

    loss_type: Annotated[str, OneOf(LOSS_TYPES)] = "grpo"
    # A bound at exactly 1 would cut the gradient of the on-policy ratio: it must be open.
    clip_low: Annotated[float, Finite(above=0, most=1)] = 0.2
    clip_high: Positive = 0.2
    cispo_cap: Positive | None = 5.0
    dual_clip: Annotated[float, Finite(above=1, most=1e6)] | None = None
    delta: Annotated[float, Finite(above=1, most=1e6)] | None = None
    sapo_tau_pos: Annotated[float, Finite(1e-3, 1e3)] = 1.0
    sapo_tau_neg: Annotated[float, Finite(1e-3, 1e3)] = 1.05
    kl_coef: Annotated[float, Finite(0, 1e6)] = 0.0
    kl_estimator: Annotated[str, OneOf(KL_ESTIMATORS)] = "k3"
    sampler_cap: Positive | None = 2.0
    sampler_level: Annotated[str, OneOf(SAMPLER_LEVELS)] = "token"
    max_completion_length: Annotated[int, Whole(1, MOST_TOKENS)] | None = None

    def __post_init__(self):
        check_fields(self, "rl.loss.")
        if self.loss_type == "dr_grpo" and self.max_completion_length is None:
            raise ConfigError(
                "rl.loss.max_completion_length is not set: loss_type='dr_grpo' divides by it"
            )
        self._warn()

    def _warn(self) -> None:
        if self.kl_coef > 0 and self.kl_estimator == "k1":
            warnings.warn(
                "rl.loss.kl_estimator='k1' as a loss regularises nothing on-policy: its expected "
                "gradient is zero; use k2 or k3",
                stacklevel=4,
            )
        if self.loss_type not in CLIPPED_LOSSES and (self.dual_clip or self.delta):
            warnings.warn(
                f"rl.loss.dual_clip and delta do nothing for loss_type={self.loss_type!r}: "
                f"they belong to {', '.join(CLIPPED_LOSSES)}",
                stacklevel=4,
            )


def policy_loss(
    logps: Float[Array, "B T"],
    old_logps: Float[Array, "B T"],
    advantages: Float[Array, " B"],
    mask: Bool[Array, "B T"],
    *,
    config: PolicyLossConfig,
    ref_logps: Float[Array, "B T"] | None = None,
    sampler_logps: Float[Array, "B T"] | None = None,
) -> tuple[jax.Array, Sums]:
    """(loss, metrics) of a whole batch; arguments and metrics as in `policy_loss_sums`."""
    sums, counts = policy_loss_sums(
        logps,
        old_logps,
        advantages,
        mask,
        config=config,
        ref_logps=ref_logps,
        sampler_logps=sampler_logps,
    )
    metrics = finish_policy_loss(sums, counts)
    return metrics["loss"], metrics


def policy_loss_sums(
    logps: Float[Array, "B T"],
    old_logps: Float[Array, "B T"],
    advantages: Float[Array, " B"],
    mask: Bool[Array, "B T"],
    *,
    config: PolicyLossConfig,
    ref_logps: Float[Array, "B T"] | None = None,
    sampler_logps: Float[Array, "B T"] | None = None,
) -> tuple[Sums, Sums]:
    """(sums, counts) under the same keys: `loss`, `clip_ratio/…`, and `kl` given a reference.

    Only `logps` carries a gradient. Values where `mask` is False change nothing, even NaN.
    The clip ratios are shares of tokens, for gspo of sequences: low is c < 1 − clip_low with
    A < 0, high is c > 1 + clip_high with A > 0, whatever the loss type makes of them.
    `low_min` and `high_max` are the extremes of that share over sequences with a token (our
    choice: TRL's are over processes, so they depend on the sharding). These two are not sums;
    `merge_policy_sums` takes their extremes. Raises InputError for shapes that differ and for a
    missing reference.
    """
    given = {"old_logps": old_logps, "ref_logps": ref_logps, "sampler_logps": sampler_logps}
    _check_shapes(logps, advantages, given | {"mask": mask})
    if config.kl_coef > 0 and ref_logps is None:
        raise InputError(f"kl_coef={config.kl_coef} needs ref_logps, the reference's log-probs")
    mask = jnp.asarray(mask).astype(bool)
    logps = _masked(logps, mask)
    old_logps, ref_logps, sampler_logps = (
        None if x is None else jax.lax.stop_gradient(_masked(x, mask)) for x in given.values()
    )
    advantages = jax.lax.stop_gradient(jnp.asarray(advantages).astype(logps.dtype))[:, None]

    ratio = _ratio(logps, old_logps, mask, sequence=config.loss_type == "gspo")
    token_loss = _objective(logps, ratio, advantages, config)
    if sampler_logps is not None and config.sampler_cap is not None:
        token_loss *= _sampler_weight(old_logps, sampler_logps, mask, config)
    sums, counts = _clip_sums(jax.lax.stop_gradient(ratio), advantages, mask, config)
    if ref_logps is not None:
        kl = _kl(logps, ref_logps, config.kl_estimator)
        token_loss += config.kl_coef * kl
        sums["kl"] = jnp.sum(jnp.where(mask, kl, 0.0))
        counts["kl"] = jnp.sum(mask).astype(kl.dtype)
    sums["loss"], counts["loss"] = _aggregate(jnp.where(mask, token_loss, 0.0), mask, config)
    return sums, counts


def merge_policy_sums(one: tuple[Sums, Sums], other: tuple[Sums, Sums]) -> tuple[Sums, Sums]:
    """The (sums, counts) of two parts of a batch as those of both; extra keys are added up."""
    (sums, counts), (other_sums, other_counts) = one, other
    return (
        {key: EXTREMES.get(key, jnp.add)(value, other_sums[key]) for key, value in sums.items()},
        {
            key: (jnp.maximum if key in EXTREMES else jnp.add)(value, other_counts[key])
            for key, value in counts.items()
        },
    )


def finish_policy_loss(sums: Sums, counts: Sums) -> Sums:
    """The one division; 0 where the count is 0, such as the loss of a batch without tokens."""
    return {
        key: jnp.where(counts[key] > 0, value / jnp.maximum(counts[key], 1), 0.0)
        for key, value in sums.items()
    }


def _check_shapes(logps, advantages, others) -> None:
    shape = jnp.shape(logps)
    if len(shape) != 2:
        raise InputError(f"logps have shape {shape}, not [B, T]")
    for name, array in others.items():
        if array is not None and jnp.shape(array) != shape:
            raise InputError(f"{name} has shape {jnp.shape(array)}, logps have {shape}")
    if jnp.shape(advantages) != shape[:1]:
        raise InputError(f"advantages have shape {jnp.shape(advantages)}, not {shape[:1]}: [B]")


def _masked(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Zeros at masked tokens *before* anything is computed, else 0·inf = NaN in the gradient."""
    x = jnp.asarray(x)
    return jnp.where(mask, x.astype(jnp.promote_types(x.dtype, jnp.float32)), 0.0)


def _token_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over each sequence's tokens, `[B, 1]`, of an `x` that is 0 where masked."""
    tokens = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)
    return jnp.sum(x, axis=1, keepdims=True) / tokens


def _exp(log_ratio: jax.Array) -> jax.Array:
    return jnp.exp(jnp.clip(log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))


def _ratio(logps, old_logps, mask, *, sequence: bool) -> jax.Array:
    """c `[B, T]`, or of the sequence `[B, 1]` (GSPO) with its gradient through the mean."""
    log_ratio = logps - old_logps
    return _exp(_token_mean(log_ratio, mask) if sequence else log_ratio)


def _objective(logps, ratio, advantages, config: PolicyLossConfig) -> jax.Array:
    """Loss per token before sampler correction and KL: `[B, T]`, for gspo `[B, 1]`."""
    low, high = 1 - config.clip_low, 1 + config.clip_high
    if config.loss_type == "cispo":
        cap = config.cispo_cap
        weight = jnp.clip(ratio, low, high) if cap is None else jnp.minimum(ratio, cap)
        return -jax.lax.stop_gradient(weight) * advantages * logps
    if config.loss_type == "sapo":
        tau = jnp.where(advantages > 0, config.sapo_tau_pos, config.sapo_tau_neg)
        tau = tau.astype(ratio.dtype)
        return -advantages * jax.nn.sigmoid(tau * (ratio - 1)) * 4 / tau
    unclipped = ratio if config.delta is None else jnp.minimum(ratio, config.delta)
    loss = -jnp.minimum(unclipped * advantages, jnp.clip(ratio, low, high) * advantages)
    if config.dual_clip is None:
        return loss
    bounded = jnp.minimum(loss, -config.dual_clip * advantages)
    return jnp.where(advantages < 0, bounded, loss)


def _sampler_weight(old_logps, sampler_logps, mask, config: PolicyLossConfig) -> jax.Array:
    log_ratio = old_logps - sampler_logps
    if config.sampler_level == "sequence":
        log_ratio = jnp.sum(log_ratio, axis=1, keepdims=True)
    return jnp.minimum(_exp(log_ratio), config.sampler_cap)


def _kl(logps, ref_logps, estimator: str) -> jax.Array:
    """Estimate per token of KL(policy ‖ reference) (Schulman's k1, k2, k3)."""
    difference = ref_logps - logps
    if estimator == "k1":
        return -difference
    if estimator == "k2":
        return 0.5 * jnp.square(difference)
    difference = jnp.clip(difference, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return jnp.expm1(difference) - difference


def _clip_sums(ratio, advantages, mask, config: PolicyLossConfig) -> tuple[Sums, Sums]:
    # A sequence ratio counts once per sequence that has a token; a token ratio once per token.
    units = mask if config.loss_type != "gspo" else mask.any(axis=1, keepdims=True)
    low = units & (ratio < 1 - config.clip_low) & (advantages < 0)
    high = units & (ratio > 1 + config.clip_high) & (advantages > 0)
    clipped = {"region_mean": low | high, "low_mean": low, "high_mean": high}
    sums = {f"clip_ratio/{k}": jnp.sum(v).astype(ratio.dtype) for k, v in clipped.items()}
    counts = dict.fromkeys(sums, jnp.sum(units).astype(ratio.dtype))

    # 1 and 0 are the neutral elements of min and max among shares: rows without tokens drop out.
    has_units = units.any(axis=1)
    low_share, high_share = (_token_mean(x.astype(ratio.dtype), units)[:, 0] for x in (low, high))
    sums["clip_ratio/low_min"] = jnp.min(jnp.where(has_units, low_share, 1.0))
    sums["clip_ratio/high_max"] = jnp.max(jnp.where(has_units, high_share, 0.0))
    return sums, counts | dict.fromkeys(EXTREMES, has_units.any().astype(ratio.dtype))


def _aggregate(token_loss, mask, config: PolicyLossConfig) -> tuple[jax.Array, jax.Array]:
    """(sum, count) of a token loss `[B, T]` that is 0 where masked."""
    if config.loss_type in TOKEN_MEAN_LOSSES:
        total, count = jnp.sum(token_loss), jnp.sum(mask)
    elif config.loss_type == "dr_grpo":
        total, count = jnp.sum(token_loss), len(mask) * config.max_completion_length
    else:
        total, count = jnp.sum(_token_mean(token_loss, mask)), len(mask)
    return total, jnp.asarray(count, total.dtype)
