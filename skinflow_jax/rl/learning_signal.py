"""Whether a GRPO run has anything to learn from; one that has not is told or stopped."""

from collections.abc import Sequence

import jax
import numpy as np

from skinflow_jax.errors import RunError
from skinflow_jax.parallel import anywhere

STEPS_WITHOUT_REWARD = 3
STEPS_OF_EQUAL_REWARDS = 10


class LearningSignal:
    """Counts the steps in a row without a learning signal; a resumed run counts from 0.

    `names`: the functions of the first columns of the rewards; `weights`: of all columns, the
    overlong penalty's too, which alone is no score. All processes must call alike.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[float]):
        self._names, self._weights = names, np.array(weights, np.float32)
        self._without = self._equal = 0
        self._warned = False

    def check(self, rewards: np.ndarray, step: int) -> None:
        """Look at `step`, whose rewards here are `[P, G, R]` with NaN for "not scored".

        Raises RunError, in all processes, where so many steps in a row had no scored completion
        anywhere, or one whose weighted reward is not finite.
        """
        seen = ~np.isnan(rewards)
        with np.errstate(over="ignore", invalid="ignore"):
            combined = np.sum(np.where(seen, rewards, 0) * self._weights, axis=-1)
        scored = anywhere(seen[..., : len(self._names)].any())
        finite = not anywhere(not np.isfinite(combined).all())
        self._without = 0 if scored and finite else self._without + 1
        if self._without < STEPS_WITHOUT_REWARD:
            return
        named = ", ".join(self._names)
        reason = f"no completion was scored: {named} gave None for all of them"
        if scored:
            reason = f"the weighted sum of {named} is not finite"
        raise RunError(
            f"step {step}: for {self._without} steps in a row {reason}, so nothing is learned: "
            "mend the reward functions, or see rl.rewards, rl.reward_weights and data.tasks"
        )

    def warn_where_equal(self, share: float, step: int) -> None:
        """Say once that all groups (`share` 1) had equal rewards for many steps in a row."""
        self._equal = self._equal + 1 if share == 1 else 0
        if self._equal == STEPS_OF_EQUAL_REWARDS and not self._warned:
            self._warned = True
            if jax.process_index() == 0:
                print(
                    f"step {step}: for {self._equal} steps in a row the completions of every "
                    "group had equal rewards, which give no learning signal: see rollouts.jsonl "
                    "for what the model writes; a model that never scores needs a longer warm-up"
                )
