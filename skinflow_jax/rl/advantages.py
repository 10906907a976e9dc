"""Rewards of a group of completions → advantages: how much better each is than its siblings.

Rows are ordered group by group: row i belongs to prompt i // group_size. NaN means "not scored".
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from skinflow_jax.errors import InputError

NORMALIZATIONS = ("group", "batch", "none", "per_function")


def group_advantages(
    rewards: Float[Array, " N"] | Float[Array, "N R"],
    group_size: int,
    *,
    weights: Sequence[float] | Float[Array, " R"] | None = None,
    normalize: str = "group",
    eps: float = 1e-4,
) -> Float[Array, " N"]:
    """Advantages `[P·G]` of rewards `[P·G]` or, of R reward functions, `[P·G, R]`.

    A row's reward is the weighted sum over the functions that scored it. Rows that none scored,
    groups with fewer than 2 scored rows and groups of equal rewards (up to round-off) get
    exactly 0. Standard deviations have ddof 1 and leave out what was not scored.

    Args:
      rewards: NaN where a function did not score a row.
      group_size: completions per prompt, at least 2.
      weights: one per function; all 1 if None.
      normalize: `group` divides by the group's std + eps (GRPO), `batch` by that of all raw
        rewards, `none` only subtracts the group's mean (Dr. GRPO); `per_function` normalises each
        function within its group, sums, then normalises the sums over the batch (GDPO).
      eps: added to the std: 1e-4 in TRL, 1e-6 in verl.

    Raises InputError for a group size, length, number of weights or name that does not fit.
    """
    rewards = jnp.asarray(rewards)
    _check(rewards, group_size, normalize)
    grouped = _floating(rewards).reshape(-1, group_size, *rewards.shape[1:])
    by_function = grouped if rewards.ndim == 2 else grouped[..., None]
    weights = _weights(weights, by_function)

    if normalize == "per_function":
        return _per_function(by_function, weights, eps).reshape(-1)
    total, scored = _weighted_sum(by_function, weights)
    advantages = total - _mean(total, scored, axis=1)
    if normalize == "group":
        advantages /= _std(total, scored, axis=1) + eps
    elif normalize == "batch":
        advantages /= _std(total, scored, axis=None) + eps
    return jnp.where(scored & _differs(total, scored, axis=1), advantages, 0.0).reshape(-1)


def reward_metrics(
    rewards: Float[Array, "P G R"],
    names: Sequence[str],
    *,
    weights: Sequence[float] | Float[Array, " R"] | None = None,
) -> dict[str, jax.Array]:
    """Reward metrics by TRL's names; `names` are those of the R functions.

    `reward` is the mean over scored rows; `reward_std` the mean of the groups' stds, over groups
    with at least 2 scored rows; `frac_reward_zero_std` the share of uninformative groups: equal
    rewards or fewer than 2 scored (our choice for the latter). `rewards/{name}/{mean,std}`
    are over all the rows that the function scored, NaN if there are none.
    """
    rewards = _floating(jnp.asarray(rewards))
    if rewards.ndim != 3 or rewards.shape[2] != len(names):
        raise InputError(f"rewards have shape {rewards.shape}, not [P, G, {len(names)}]: {names}")
    total, scored = _weighted_sum(rewards, _weights(weights, rewards))
    comparable = jnp.sum(scored, axis=1) >= 2
    differing = _differs(total, scored, axis=1)[:, 0]
    metrics = {
        "reward": _mean(total, scored, axis=None).squeeze(),
        "reward_std": _mean(_std(total, scored, axis=1)[:, 0], comparable, axis=0).squeeze(),
        "frac_reward_zero_std": jnp.mean(1.0 - differing),
    }
    for index, name in enumerate(names):
        values = rewards[..., index]
        mask = ~jnp.isnan(values)
        for statistic, function in (("mean", _mean), ("std", _std)):
            value = function(values, mask, axis=None).squeeze()
            metrics[f"rewards/{name}/{statistic}"] = jnp.where(mask.any(), value, jnp.nan)
    return metrics


def _check(rewards, group_size: int, normalize: str) -> None:
    if normalize not in NORMALIZATIONS:
        choices = ", ".join(NORMALIZATIONS)
        raise InputError(f"normalize={normalize!r} is unknown: choose one of {choices}")
    if rewards.ndim not in (1, 2):
        raise InputError(f"rewards have shape {rewards.shape}, not [P·G] or [P·G, R]")
    if group_size < 2:
        raise InputError(
            f"group_size={group_size} with {len(rewards)} rewards: an advantage compares at least "
            "2 completions of a prompt"
        )
    if len(rewards) == 0 or len(rewards) % group_size:
        raise InputError(f"{len(rewards)} rewards do not make whole groups of {group_size}")


def _floating(x: jax.Array) -> jax.Array:
    """At least float32: differences among rewards near 1 are lost in 16 bits."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _weights(weights, by_function: jax.Array) -> jax.Array:
    functions = by_function.shape[-1]
    if weights is None:
        return jnp.ones(functions, by_function.dtype)
    weights = jnp.asarray(weights, by_function.dtype)
    if weights.shape != (functions,):
        raise InputError(f"weights of shape {weights.shape} for {functions} reward functions")
    return weights


def _weighted_sum(by_function: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(weighted sum over the functions that scored, whether any did), both `[P, G]`."""
    mask = ~jnp.isnan(by_function)
    return jnp.sum(jnp.where(mask, by_function * weights, 0.0), axis=-1), mask.any(axis=-1)


def _per_function(by_function: jax.Array, weights: jax.Array, eps: float) -> jax.Array:
    mask = ~jnp.isnan(by_function)
    deviation = by_function - _mean(by_function, mask, axis=1)
    normalized = deviation / (_std(by_function, mask, axis=1) + eps)
    informative = mask & _differs(by_function, mask, axis=1)
    total = jnp.sum(jnp.where(informative, normalized * weights, 0.0), axis=-1)
    scored = mask.any(axis=-1)
    # The mean is zero but for round-off; an uninformative group must not inherit that.
    advantages = (total - _mean(total, scored, axis=None)) / (_std(total, scored, axis=None) + eps)
    return jnp.where(informative.any(axis=-1), advantages, 0.0)


def _mean(x: jax.Array, mask: Bool[Array, "..."], axis) -> jax.Array:
    """Mean over entries where `mask`, along `axis` (kept); 0 where there are none."""
    total = jnp.sum(jnp.where(mask, x, 0.0), axis=axis, keepdims=True)
    return total / jnp.maximum(jnp.sum(mask, axis=axis, keepdims=True), 1)


def _std(x: jax.Array, mask: Bool[Array, "..."], axis) -> jax.Array:
    """Standard deviation (ddof 1) where `mask`, along `axis` (kept); 0 for fewer than 2 entries."""
    squares = jnp.where(mask, jnp.square(x - _mean(x, mask, axis)), 0.0)
    count = jnp.sum(mask, axis=axis, keepdims=True)
    return jnp.sqrt(jnp.sum(squares, axis=axis, keepdims=True) / jnp.maximum(count - 1, 1))


def _differs(x: jax.Array, mask: Bool[Array, "..."], axis) -> jax.Array:
    """Whether entries where `mask` differ by more than round-off, along `axis` (kept).

    A std would not do: the mean of equal numbers need not equal them in floating point.
    """
    high = jnp.max(jnp.where(mask, x, -jnp.inf), axis=axis, keepdims=True)
    low = jnp.min(jnp.where(mask, x, jnp.inf), axis=axis, keepdims=True)
    return high - low > 4 * jnp.finfo(x.dtype).eps * jnp.maximum(jnp.abs(high), jnp.abs(low))
