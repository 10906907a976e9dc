"""What a GRPO run can set."""

from dataclasses import dataclass, field
from typing import Annotated

from skinflow_jax.errors import ConfigError
from skinflow_jax.rl.advantages import NORMALIZATIONS
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.rl.rewards import check_reward_names
from skinflow_jax.rl.token_choice import (
    LEAST_TEMPERATURE,
    MOST_TEMPERATURE,
    MinTokens,
    Sampling,
    StopIds,
    TopK,
    TopP,
    make_sampling,
)
from skinflow_jax.typed_fields import (
    MOST_TOKENS,
    Finite,
    OneOf,
    Place,
    Whole,
    check_fields,
)


@dataclass(frozen=True)
class GrpoConfig:
    """Rollouts, rewards and policy updates.

    Attributes:
      group_size: completions a prompt, G.
      max_tokens: the most a completion may have.
      temperature, top_k, top_p, min_tokens, stop_ids: how tokens are sampled, see `make_sampling`.
      compactions: how often the active rows may be halved while completions end. Each makes the
        program larger.
      rewards: names of built-in functions, or `path.py:function`.
      reward_weights: one a function; None weighs all 1.
      sibling_credit: what the diagnosis rewards count a harmless sibling of the true disease, below
        the 1 of an accepted one.
      safety_penalty: what they take off where the first diagnosis is undetermined, dangerous or
        over-triages, in the share of `clinical.rewards.safety_cost`, all of it where the answer is
        refused; they may go below 0.
      reward_timeout: seconds that the functions may take a step; None waits.
      overlong_cache: DAPO's soft penalty of completions that come closer to max_tokens than so
        many tokens, as one more reward of weight 1; 0 is off.
      advantages: see `group_advantages`.
      num_iterations: how often each rollout is learned from.
      mini_batches: optimizer steps an iteration, each on its share of the prompts.
      mask_truncated: truncated completions are masked out of the loss.
      max_refills: batches drawn at most to replace groups of equal rewards (dynamic sampling).
        Places still free then keep such groups, whose advantages are 0.
      loss: the policy loss.
      log_kl: measure the KL to the model that the run starts from even where `loss.kl_coef` is 0.
    """

    group_size: Annotated[int, Whole(2, 65_536)] = 8
    max_tokens: Annotated[int, Whole(1, MOST_TOKENS)] = 512
    temperature: Annotated[float, Finite(LEAST_TEMPERATURE, MOST_TEMPERATURE)] = 1.0
    top_k: TopK = 0
    top_p: TopP = 1.0
    min_tokens: MinTokens = 0
    stop_ids: StopIds = ()
    compactions: Annotated[int, Whole(0, 16)] = 2
    rewards: tuple[Annotated[str, Place()], ...] = ("caption", "diagnosis")
    reward_weights: tuple[Annotated[float, Finite(-1e4, 1e4)], ...] | None = None
    sibling_credit: Annotated[float, Finite(0, 0.99)] = 0.0
    safety_penalty: Annotated[float, Finite(0, 100)] = 0.0
    reward_timeout: Annotated[float, Finite(above=0, most=1e6)] | None = None
    overlong_cache: Annotated[int, Whole(0, MOST_TOKENS)] = 0
    advantages: Annotated[str, OneOf(NORMALIZATIONS)] = "group"
    num_iterations: Annotated[int, Whole(1, 1000)] = 1
    mini_batches: Annotated[int, Whole(1, 1_000_000)] = 1
    mask_truncated: bool = False
    max_refills: Annotated[int, Whole(0, 1000)] = 0
    loss: PolicyLossConfig = field(default_factory=PolicyLossConfig)
    log_kl: bool = False

    def __post_init__(self):
        check_fields(self, "rl.")
        for name in ("min_tokens", "overlong_cache"):
            if getattr(self, name) > self.max_tokens:
                raise ConfigError(
                    f"rl.{name}={getattr(self, name)} exceeds rl.max_tokens={self.max_tokens}"
                )
        check_reward_names(self.rewards)
        weights = self.reward_weights
        if weights is not None and len(weights) != len(self.rewards):
            raise ConfigError(
                f"rl.reward_weights={weights} for {len(self.rewards)} rl.rewards: one weight each"
            )
        if not any(self.weights):
            raise ConfigError(f"rl.reward_weights={weights}: with all of them 0 nothing is learned")

    @property
    def sampling(self) -> Sampling:
        """How tokens are sampled."""
        return make_sampling(
            self.temperature, self.top_k, self.top_p, self.min_tokens, self.stop_ids
        )

    @property
    def reward_options(self) -> dict[str, float]:
        """Those of the diagnosis rewards that are not as by default."""
        options = {"sibling_credit": self.sibling_credit, "safety_penalty": self.safety_penalty}
        return {name: value for name, value in options.items() if value}

    @property
    def weights(self) -> tuple[float, ...]:
        """One a column of the rewards, the overlong penalty's included."""
        given = self.reward_weights or (1.0,) * len(self.rewards)
        return (*given, 1.0) if self.overlong_cache else given

    @property
    def needs_reference(self) -> bool:
        """Whether a KL to the starting model is part of the loss or of the metrics."""
        return self.log_kl or self.loss.kl_coef > 0

    @property
    def updates(self) -> int:
        """Optimizer steps a rollout."""
        return self.num_iterations * self.mini_batches
