"""A run that has nothing to learn from stops, or says so."""

import numpy as np
import pytest

from skinflow_jax.errors import RunError
from skinflow_jax.rl.learning_signal import (
    STEPS_OF_EQUAL_REWARDS,
    STEPS_WITHOUT_REWARD,
    LearningSignal,
)

SCORED = np.array([[[1.0], [np.nan]]], np.float32)
UNSCORED = np.full((1, 2, 1), np.nan, np.float32)
INFINITE = np.array([[[3e38, 3e38], [0, 0]]], np.float32)


def steps(signal, *rewards):
    for number, one in enumerate(rewards, 1):
        signal.check(one, number)


def test_three_unscored_steps_in_a_row_stop_the_run_and_a_scored_one_between_does_not():
    assert STEPS_WITHOUT_REWARD == 3
    signal = LearningSignal(("mine", "caption"), (1.0,))
    steps(signal, UNSCORED, UNSCORED, SCORED, UNSCORED, UNSCORED)
    with pytest.raises(RunError) as caught:
        signal.check(UNSCORED, 6)
    assert "step 6: for 3 steps in a row no completion was scored: mine, caption" in str(
        caught.value
    )
    assert "\n" not in str(caught.value) and "rl.rewards" in str(caught.value)


def test_weighted_rewards_that_are_not_finite_stop_it_too():
    signal = LearningSignal(("a", "b"), (1.0, 1.0))
    with pytest.raises(RunError, match=r"step 3: .*the weighted sum of a, b is not finite"):
        steps(signal, INFINITE, INFINITE, INFINITE)
    with pytest.raises(RunError, match="not finite"):
        steps(LearningSignal(("a",), (np.nan,)), SCORED, SCORED, SCORED)


def test_the_overlong_penalty_alone_is_no_score():
    rewards = np.concatenate([UNSCORED, np.zeros_like(UNSCORED)], axis=-1)
    with pytest.raises(RunError, match="no completion was scored: mine gave"):
        steps(LearningSignal(("mine",), (1.0, 1.0)), rewards, rewards, rewards)


def test_all_processes_stop_when_none_has_a_score_and_none_when_one_has(monkeypatch):
    """The other process has scored at each step; the flags that this one gives are its own."""
    asked = []
    monkeypatch.setattr(
        "skinflow_jax.rl.learning_signal.anywhere",
        lambda flag: asked.append(bool(flag)) or len(asked) % 2 == 1,
    )
    steps(LearningSignal(("mine",), (1.0,)), UNSCORED, UNSCORED, UNSCORED, UNSCORED)
    assert asked == [False] * 8


def test_equal_rewards_for_long_are_told_once_and_go_on(capsys):
    signal = LearningSignal(("mine",), (1.0,))
    shares = [1.0] * (STEPS_OF_EQUAL_REWARDS - 1) + [0.5] + [1.0] * (2 * STEPS_OF_EQUAL_REWARDS)
    shares += [0.0] + [1.0] * (2 * STEPS_OF_EQUAL_REWARDS)
    for step, share in enumerate(shares, 1):
        signal.warn_where_equal(share, step)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"step {2 * STEPS_OF_EQUAL_REWARDS}: for {STEPS_OF_EQUAL_REWARDS} ")
