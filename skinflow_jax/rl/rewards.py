"""Completions to rewards: which clinical reward belongs to which task."""

from collections.abc import Callable, Sequence

import numpy as np

from skinflow_jax.clinical import caption_reward, diagnosis_reward
from skinflow_jax.data.pipeline import Example
from skinflow_jax.errors import ConfigError

RewardFunction = Callable[[str, Example], float | None]


def caption(completion: str, example: Example) -> float | None:
    """Caption reward of a caption prompt; None for other tasks, or where nothing is known."""
    if example.task != "caption" or not example.caption:
        return None
    return caption_reward(completion, example.caption)


def diagnosis(completion: str, example: Example) -> float | None:
    """Diagnosis reward of a diagnosis prompt; None for other tasks."""
    return diagnosis_reward(completion, example.diagnosis) if example.task == "diagnosis" else None


def diagnosis_reciprocal(completion: str, example: Example) -> float | None:
    """The same with 1/p for the first accepted rank p: the first place weighs more."""
    if example.task != "diagnosis":
        return None
    return diagnosis_reward(completion, example.diagnosis, scale="reciprocal")


REWARDS: dict[str, RewardFunction] = {
    "caption": caption,
    "diagnosis": diagnosis,
    "diagnosis_reciprocal": diagnosis_reciprocal,
}


def score(
    completions: Sequence[Sequence[str]],
    examples: Sequence[Example],
    functions: dict[str, RewardFunction],
    *,
    timeout: float | None = None,
) -> np.ndarray:
    """Rewards float32 `[P, G, R]` of G completions for each example; NaN is "not scored"."""
    values = [
        [[function(text, example) for function in functions.values()] for text in group]
        for group, example in zip(completions, examples, strict=True)
    ]
    return np.array(values, dtype=np.float32)


def check_reward_names(names) -> None:
    unknown = sorted(set(names) - set(REWARDS))
    if unknown or not names:
        raise ConfigError(f"rl.rewards={names}: choose from {', '.join(REWARDS)}")


def load_rewards(names):
    return {name: REWARDS[name] for name in names}


def overlong_penalty(lengths, *, max_tokens, cache):
    return np.clip((max_tokens - cache - lengths) / cache, -1.0, 0.0)
