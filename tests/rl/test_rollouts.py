"""Dynamic sampling: which groups teach, whose place is taken by whom, and when it gives up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.rollouts import ScoredRollout, with_refills
from skinflow_jax.rl.sampler import Rollout
from skinflow_jax.rl.update import score_rollout

GROUP = 2


def scored(cases, useful):
    """Prompts that carry the number of their case in every array."""
    shape = (len(cases), GROUP, 3)
    numbers = np.broadcast_to(np.array(cases)[:, None, None], shape).astype(np.int32)
    rollout = Rollout(numbers, numbers > -1, numbers * 1.0, numbers[:, :, 0] > -1)
    rewards = np.zeros((len(cases), GROUP, 1), np.float32)
    rewards[:, 0, 0] = useful
    return ScoredRollout(
        examples=list(cases),
        inputs=np.array(cases),
        rollout=jax.tree.map(jnp.array, rollout),
        texts=[[f"{case}"] * GROUP for case in cases],
        rewards=rewards,
    )


def group_scores(rewards, terminated, names=("caption",), **settings):
    config = GrpoConfig(group_size=GROUP, rewards=names, max_refills=1, **settings)
    return score_rollout(jnp.array(rewards), jnp.array(terminated), config=config, names=names)


def refill(first, *further, most=5):
    draws = iter(further)

    def score_groups(scored):
        return group_scores(scored.rewards, scored.rollout.terminated)

    return with_refills(first, lambda _: next(draws), score_groups, most, collate=np.array)


def assert_about(result, cases):
    assert result.examples == cases
    for array in (result.inputs, result.rollout.tokens[:, 0, 0], result.rollout.log_probs[:, 1, 2]):
        np.testing.assert_array_equal(array, cases)
    assert result.texts == [[f"{case}"] * GROUP for case in cases]


def test_groups_that_teach_nothing_are_replaced_until_the_batch_is_full():
    first, second = scored([1, 2, 3], [1, 0, 0]), scored([4, 5, 6], [0, 1, 0])
    result, figures = refill(first, second, scored([7, 8, 9], [1, 1, 0]), scored([0], [1]))
    assert_about(result, [1, 5, 7])
    np.testing.assert_array_equal(result.rewards[:, :, 0], [[1, 0]] * 3)
    assert figures["dynamic_sampling/refills"] == 2
    assert figures["dynamic_sampling/informative"] == pytest.approx(4 / 9)
    assert figures["dynamic_sampling/reward"] == pytest.approx(4 / 18)


def test_a_full_batch_draws_nothing_and_is_left_as_it_is():
    first = scored([1, 2], [1, 1])
    result, figures = refill(first)
    assert result is first and figures["dynamic_sampling/refills"] == 0


def test_when_the_cap_is_hit_free_places_keep_groups_of_equal_rewards():
    result, figures = refill(scored([1, 2], [0, 1]), scored([3, 4], [0, 0]), most=1)
    assert_about(result, [2, 1])
    assert figures["dynamic_sampling/refills"] == 1


TWO = ("caption", "diagnosis")
# By group: one function differs, one row alone is scored, none is, functions that cancel out, a
# function scored some rows only, all alike.
nan = np.nan
REWARDS = np.array(
    [
        [[1, 0], [0, 0]],
        [[1, nan], [nan, nan]],
        [[nan, nan], [nan, nan]],
        [[1, 0], [0, 1]],
        [[nan, 1], [0.5, 1]],
        [[0.5, 0], [0.5, 0]],
    ]
)
ENDED = np.ones((6, GROUP), bool)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 0, 0, 0, 1, 0]),
        ({"advantages": "none"}, [1, 0, 0, 0, 1, 0]),
        ({"advantages": "batch"}, [1, 0, 0, 0, 1, 0]),
        ({"advantages": "per_function", "reward_weights": (2.0, 1.0)}, [1, 0, 0, 1, 0, 0]),
        ({"reward_weights": (0.0, 1.0)}, [0, 0, 0, 1, 0, 0]),
    ],
)
def test_a_group_is_informative_if_its_advantages_are_not_all_zero(settings, expected):
    result = group_scores(REWARDS, ENDED, TWO, **settings)
    np.testing.assert_array_equal(result.informative, expected)
    np.testing.assert_array_equal((result.advantages != 0).any(axis=1), expected)


def test_a_group_of_masked_completions_is_not_informative():
    cut = ENDED.copy()
    cut[0] = False
    assert not group_scores(REWARDS, cut, TWO, mask_truncated=True).informative[0]
    assert group_scores(REWARDS, cut, TWO).informative[0]
