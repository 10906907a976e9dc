"""Intervals against scipy and the slow way, and what they must never do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skinflow_jax.evaluation import intervals
from skinflow_jax.evaluation.intervals import clopper_pearson, studentised_interval, t_interval


@given(st.integers(1, 400), st.sampled_from([0.8, 0.95, 0.99]), st.data())
@settings(max_examples=50, deadline=None)
def test_clopper_pearson_is_scipys_holds_the_share_and_grows_with_the_successes(n, level, data):
    k = data.draw(st.integers(0, n))
    low, high = clopper_pearson(k, n, level)
    expected = stats.binomtest(k, n).proportion_ci(confidence_level=level, method="exact")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert low <= k / n <= high and low < high
    if k < n:
        above = clopper_pearson(k + 1, n, level)
        assert low < above[0] and (high < above[1] or high == 1)


def test_with_many_cases_the_bootstrap_is_the_normal_approximation():
    values = np.random.default_rng(1).gamma(2.0, size=4000)
    low, high = studentised_interval(values, np.arange(4000), resamples=4000)
    error = 1.96 * values.std() / math.sqrt(len(values))
    # A quantile of 4,000 resamples is off by up to ~5 % of the half width (3 standard errors).
    assert low == pytest.approx(values.mean() - error, abs=0.06 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.06 * error)


def test_a_resample_draws_the_cases_of_a_group_together_and_is_studentised():
    rng = np.random.default_rng(7)
    groups = rng.permutation(np.r_[np.arange(20), rng.integers(0, 20, 30)])
    values = rng.normal(size=50) + rng.normal(size=20)[groups]
    sums, sizes = np.bincount(groups, values), np.bincount(groups)
    mean = values.mean()
    order = np.lexsort((sizes, np.bincount(groups, values - mean)))
    sums, sizes = sums[order], sizes[order]
    whole = ((sums - mean * sizes) ** 2).sum()

    def pivot(drawn):
        s, m = sums[drawn], sizes[drawn]
        own = s.sum() / m.sum()
        squares = (((s - own * m) ** 2).sum() * 20 + whole) / 21
        return (own - mean) / (math.sqrt(squares) / m.sum())

    draws = np.random.default_rng(0).integers(0, 20, (300, 20))
    pivots = [pivot(drawn) for drawn in draws]
    below, above = np.quantile(pivots, [0.025, 0.975], method="weibull")
    error = math.sqrt(whole) / 50
    found = studentised_interval(values, groups, resamples=300)
    assert found == pytest.approx((mean - above * error, mean - below * error))


def test_resamples_cut_into_chunks_and_groups_in_another_order_change_nothing(monkeypatch):
    rng = np.random.default_rng(4)
    values, groups = rng.random(101), np.r_[np.arange(40), rng.integers(0, 40, 61)]
    whole = studentised_interval(values, groups, resamples=500)
    assert studentised_interval(values, groups, resamples=500, seed=1) != whole
    order = rng.permutation(101)
    renamed = rng.permutation(40)[groups]
    assert studentised_interval(values[order], renamed[order], resamples=500) == whole
    monkeypatch.setattr(intervals, "_CELLS", 1000)
    assert studentised_interval(values, groups, resamples=500) == pytest.approx(whole, abs=1e-12)


def test_groups_that_do_not_differ_have_no_bootstrap():
    for values, groups in (([0.5] * 9, range(9)), ([1, 3, 3, 1], [0, 0, 1, 1]), ([2.0], [0])):
        ends = studentised_interval(np.array(values, float), np.array(groups))
        assert all(map(math.isnan, ends))


def test_students_interval_over_runs():
    values = np.array([0.1, 0.3, 0.2])
    expected = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert t_interval(values) == pytest.approx(expected)
    for same in ([0.2], [0.2, 0.2]):
        assert all(map(math.isnan, t_interval(np.array(same))))


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_lies_between_0_and_1(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        clopper_pearson(1, 2, confidence)
    with pytest.raises(ValueError, match="between 0 and 1"):
        studentised_interval(np.arange(3.0), np.arange(3), confidence)
