"""Advantages against NumPy, written group by group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skinflow_jax.errors import InputError
from skinflow_jax.rl.advantages import NORMALIZATIONS, group_advantages, reward_metrics

GROUP = 4


def std(values):
    return np.std(values, ddof=1)


def combined(rewards, weights):
    """(weighted sum of what was scored, whether anything was) per row."""
    total = [sum(w * v for w, v in zip(weights, r, strict=True) if v == v) for r in rewards]
    return np.array(total), ~np.isnan(rewards).all(axis=1)


def reference(rewards, group, weights, normalize, eps):
    total, scored = combined(rewards, weights)
    if normalize == "per_function":
        total = np.zeros(len(rewards))
        for k, weight in enumerate(weights):
            total += weight * reference(rewards[:, k : k + 1], group, [1.0], "group", eps)
        result = (total - total[scored].mean()) / (std(total[scored]) + eps)
        return np.where(scored, result, 0.0)
    result = np.zeros(len(rewards))
    for start in range(0, len(rewards), group):
        rows = [i for i in range(start, start + group) if scored[i]]
        if len(rows) < 2:
            continue
        centred = total[rows] - total[rows].mean()
        scale = {"group": std(total[rows]), "batch": std(total[scored])}.get(normalize)
        result[rows] = centred if scale is None else centred / (scale + eps)
    return result


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["all scored", "some not scored"])
def rewards(request):
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(5 * GROUP, 3))
    if request.param == "some not scored":
        values[rng.uniform(size=values.shape) < 0.4] = np.nan
        values[:3] = np.nan  # one scored row in the first group
        values[5] = np.nan  # a row that no function scored
    return values


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 2.0]])
@pytest.mark.parametrize("eps", [1e-4, 1e-6])
def test_advantages_equal_numpy(float64, rewards, normalize, weights, eps):
    ours = jax.jit(
        lambda r: group_advantages(r, GROUP, weights=weights, normalize=normalize, eps=eps)
    )
    expected = reference(rewards, GROUP, weights or [1.0] * 3, normalize, eps)
    result = ours(rewards)
    assert result.dtype == jnp.float64
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_float32_equals_numpy(rewards, normalize):
    result = group_advantages(rewards[:, 0], GROUP, normalize=normalize)
    column = rewards[:, :1].astype(np.float32).astype(np.float64)
    expected = reference(column, GROUP, [1.0], normalize, 1e-4)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, rtol=2e-4, atol=1e-5)


def test_the_golden_group(float64):
    golden = [1.31715660, 0.14635073, -1.02445513, -0.43905220]
    np.testing.assert_allclose(group_advantages([1, 0.5, 0, 0.25], 4), golden, atol=1e-8)


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("group", [2, 3, 7])
def test_equal_rewards_give_exactly_zero(normalize, group):
    # 0.1 and 0.7 are not representable: the mean of seven of them is not one of them.
    equal = np.tile(np.float32([0.1, 0.7]), (group, 1))
    other = np.random.default_rng(1).uniform(size=(group, 2)).astype(np.float32)
    advantages = group_advantages(np.concatenate([equal, other]), group, normalize=normalize)
    assert np.all(np.asarray(advantages[:group]) == 0.0)
    assert np.all(np.asarray(advantages[group:]) != 0.0)


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_a_row_that_none_scored_and_a_lonely_row_get_exactly_zero(normalize):
    nan = np.nan
    rewards = np.array([1.0, nan, 0.0, nan, nan, 0.3, nan, nan, nan, nan, nan, nan])
    advantages = np.asarray(group_advantages(rewards, 4, normalize=normalize))
    assert advantages[0] > 0 > advantages[2]
    assert np.all(advantages[[1, 3, 4, 5, 6, 7, 8, 9, 10, 11]] == 0.0)


@pytest.mark.parametrize("normalize", ["group", "none"])
def test_groups_do_not_see_each_other(rewards, normalize):
    whole = group_advantages(rewards, GROUP, normalize=normalize)
    alone = [group_advantages(part, GROUP, normalize=normalize) for part in np.split(rewards, 5)]
    np.testing.assert_allclose(whole, np.concatenate(alone), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rewards": np.ones(4), "group_size": 1}, ("group_size=1", "4 rewards")),
        ({"rewards": np.ones(10), "group_size": 4}, ("10 rewards", "groups of 4")),
        ({"rewards": np.ones(0), "group_size": 4}, ("0 rewards", "groups of 4")),
        ({"rewards": np.ones((4, 2)), "group_size": 2, "weights": [1.0]}, ("weights", "2 reward")),
        ({"rewards": np.ones((2, 2, 1)), "group_size": 2}, ("(2, 2, 1)",)),
        ({"rewards": np.ones(4), "group_size": 2, "normalize": "std"}, ("'std'", *NORMALIZATIONS)),
    ],
)
def test_what_does_not_fit_is_named(arguments, named):
    with pytest.raises(InputError) as error:
        group_advantages(**arguments)
    assert all(part in str(error.value) for part in named)


def test_metrics_equal_numpy(rewards):
    weights = [1.0, 0.5, 2.0]
    grouped = rewards.reshape(5, GROUP, 3).copy()
    grouped[1] = [0.1, 0.2, 0.3]  # teaches nothing
    metrics = reward_metrics(grouped, ("a", "b", "c"), weights=weights)
    rows = grouped.reshape(-1, 3)
    total, scored = combined(rows, weights)
    groups = [
        t[s]
        for t, s in zip(total.reshape(5, -1), scored.reshape(5, -1), strict=True)
        if s.sum() > 1
    ]
    expected = {
        "reward": total[scored].mean(),
        "reward_std": np.mean([std(g) for g in groups]),
        "frac_reward_zero_std": (5 - len(groups) + 1) / 5,
    }
    for name, column in zip("abc", rows.T, strict=True):
        expected[f"rewards/{name}/mean"] = np.nanmean(column)
        expected[f"rewards/{name}/std"] = std(column[~np.isnan(column)])
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)


def test_metrics_of_a_function_that_scored_nothing_are_nan():
    rewards = np.stack([[[0.0, 1.0]], [[np.nan, np.nan]]], axis=-1)
    metrics = reward_metrics(rewards, ("caption", "diagnosis"))
    assert metrics["reward"] == 0.5 and metrics["rewards/caption/mean"] == 0.5
    assert np.isnan(metrics["rewards/diagnosis/mean"]) and np.isnan(
        metrics["rewards/diagnosis/std"]
    )


def test_metrics_name_a_wrong_number_of_functions():
    with pytest.raises(InputError, match="caption"):
        reward_metrics(np.ones((1, 2, 2)), ("caption",))
