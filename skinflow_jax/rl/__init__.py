"""Group rollouts, advantages, policy losses and the GRPO step."""

from skinflow_jax.rl.advantages import group_advantages
from skinflow_jax.rl.losses import PolicyLossConfig, policy_loss, policy_loss_sums

__all__ = ["PolicyLossConfig", "group_advantages", "policy_loss", "policy_loss_sums"]
