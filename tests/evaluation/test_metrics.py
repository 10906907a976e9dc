"""Figures against hand-made counts, the normal approximation, simulation and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from skinflow_jax.evaluation.metrics import (
    bootstrap_interval,
    macro_f1,
    macro_recall,
    majority_baseline,
    mcnemar_p_value,
    mean_with_interval,
    paired_difference,
    safety_critical_rate,
    top_k,
    top_k_estimates,
)

RANKS = st.lists(st.one_of(st.none(), st.integers(1, 6)), min_size=1, max_size=40)


def test_top_k_counts_first_accepted_ranks_up_to_k():
    ranks = [1, 3, None, 6, 2]
    assert top_k(ranks, 1).tolist() == [1, 0, 0, 0, 0]
    assert top_k(ranks, 3).tolist() == [1, 1, 0, 0, 1]
    assert top_k(ranks, 6).tolist() == [1, 1, 0, 1, 1]


@given(RANKS)
@settings(max_examples=30, deadline=None)
def test_top_k_never_falls_with_k_and_top_6_is_every_accepted_case(ranks):
    values = [estimate.value for estimate in top_k_estimates(ranks, resamples=20)]
    assert len(values) == 6
    assert values == sorted(values)
    assert values[-1] == pytest.approx(sum(rank is not None for rank in ranks) / len(ranks))


@pytest.mark.parametrize(("ranks", "k"), [([0], 1), ([1], 0), ([-1, None], 6)])
def test_ranks_count_from_1(ranks, k):
    with pytest.raises(ValueError, match="count from 1"):
        top_k(ranks, k)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_with_many_cases_the_bootstrap_is_the_normal_approximation(confidence):
    values = np.random.default_rng(1).gamma(2.0, size=4000)
    low, high = bootstrap_interval(values, confidence=confidence, resamples=4000)
    z = {0.8: 1.2815516, 0.95: 1.9599640}[confidence]
    error = z * values.std() / math.sqrt(len(values))
    # A quantile of 4,000 resamples is off by up to ~5 % of the half width (3 standard errors).
    assert low == pytest.approx(values.mean() - error, abs=0.06 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.06 * error)


def test_a_95_percent_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(400):
        low, high = bootstrap_interval(rng.random(150) < 0.3, resamples=400, seed=trial)
        covered += low <= 0.3 <= high
    # Binomial(400, .95) has a standard deviation of 1.1 %; the percentile bootstrap of a share
    # of 150 covers about 94 %.
    assert 0.91 <= covered / 400 <= 0.98


def test_a_paired_interval_covers_the_true_difference_of_correlated_values():
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        case = rng.normal(size=100)
        before, after = case + 0.3 * rng.normal(size=100), case + 0.2 + 0.3 * rng.normal(size=100)
        change = paired_difference(before, after, resamples=400, seed=trial)
        covered += change.low <= 0.2 <= change.high
        assert change.high - change.low < 0.25  # unpaired: 2 · 1.96 · sqrt(2 · 1.09 / 100) = 0.58
    assert 0.90 <= covered / 300 <= 0.985


def test_the_interval_does_not_depend_on_how_resamples_are_cut_into_chunks(monkeypatch):
    values = np.random.default_rng(4).random(101)
    whole = bootstrap_interval(values, resamples=500)
    monkeypatch.setattr("skinflow_jax.evaluation.metrics._CELLS", 1000)
    assert bootstrap_interval(values, resamples=500) == pytest.approx(whole, abs=1e-12)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(5).random(80)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_no_cases_give_nan_and_n_0_instead_of_an_error():
    estimate = mean_with_interval([])
    assert estimate.n == 0
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert macro_f1([], []).n == 0
    assert math.isnan(paired_difference([], []).mean)
    assert not paired_difference([], []).beyond_interval


@pytest.mark.parametrize("values", [[1.0, math.nan], [math.inf], [[1.0, 2.0]]])
def test_values_that_were_not_scored_are_refused_rather_than_averaged(values):
    with pytest.raises(ValueError, match="leave out what was not scored"):
        mean_with_interval(values)


def test_discordant_pairs_are_counted():
    change = paired_difference([0, 0, 1, 1, 0, 1], [1, 1, 0, 1, 0, 1])
    assert (change.n, change.gained, change.lost) == (6, 2, 1)
    assert change.mean == pytest.approx(1 / 6)
    assert not change.beyond_interval


def test_gained_and_lost_count_cases_that_moved_also_for_scores():
    change = paired_difference([0.1, 0.5, 0.9, 0.3], [0.2, 0.4, 0.9, 0.8])
    assert (change.gained, change.lost) == (2, 1)


def test_beyond_the_interval_means_zero_is_left_out_on_either_side():
    zeros, ones = np.zeros(50), np.r_[np.ones(30), np.zeros(20)]
    assert paired_difference(zeros, ones).beyond_interval
    assert paired_difference(ones, zeros).beyond_interval
    assert not paired_difference(ones, ones).beyond_interval


def test_pairs_need_equal_cases():
    with pytest.raises(ValueError, match="2 cases before, 3 after"):
        paired_difference([0, 1], [0, 1, 1])


@pytest.mark.parametrize(
    ("gained", "lost"), [(0, 0), (5, 0), (0, 5), (10, 3), (7, 7), (61, 40), (900, 1000)]
)
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    expected = binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar_p_value(gained, lost) == pytest.approx(expected, rel=1e-9)
    if (gained, lost) == (5, 0):
        assert mcnemar_p_value(gained, lost) == 2 / 2**5


#                    predicted A  B  C  other     recall   F1
# reference A (4):             2  1  0  1         2/4      2·2/(2·2 + 2 + 1) = 4/7
# reference B (3):             1  2  0  0         2/3      2·2/(2·2 + 1 + 2) = 4/7
# reference C (1):             0  1  0  0         0        0
REFERENCES = ["A"] * 4 + ["B"] * 3 + ["C"]
PREDICTIONS = ["A", "A", "B", None, "A", "B", "B", "B"]


def test_macro_f1_is_that_of_the_confusion_matrix_made_by_hand():
    assert macro_f1(REFERENCES, PREDICTIONS).value == pytest.approx((4 / 7 + 4 / 7 + 0) / 3)
    elsewhere = ["no such class" if label is None else label for label in PREDICTIONS]
    assert macro_f1(REFERENCES, elsewhere) == macro_f1(REFERENCES, PREDICTIONS)


def test_macro_recall_weighs_classes_and_not_cases():
    correct = [r == p for r, p in zip(REFERENCES, PREDICTIONS, strict=True)]
    assert macro_recall(REFERENCES, correct).value == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)


def test_macro_intervals_are_those_of_resampling_case_by_case():
    rng = np.random.default_rng(6)
    references = rng.choice(list("ABCD"), size=60, p=[0.5, 0.3, 0.15, 0.05])
    predictions = np.where(rng.random(60) < 0.6, references, rng.choice(list("ABCX"), size=60))

    def slow_f1(rows):
        scores = []
        for c in sorted(set(references[rows])):
            hit = ((references[rows] == c) & (predictions[rows] == c)).sum()
            wrong = ((references[rows] == c) != (predictions[rows] == c)).sum()
            scores.append(2 * hit / (2 * hit + wrong))
        return np.mean(scores)

    def slow_recall(rows):
        hits = predictions[rows] == references[rows]
        return np.mean([hits[references[rows] == c].mean() for c in set(references[rows])])

    draws = np.random.default_rng(0).integers(0, 60, (500, 60))
    for slow, fast in (
        (slow_f1, macro_f1(references, predictions, resamples=500)),
        (slow_recall, macro_recall(references, predictions == references, resamples=500)),
    ):
        expected = np.quantile([slow(rows) for rows in draws], [0.025, 0.975])
        assert fast.value == pytest.approx(slow(np.arange(60)))
        assert (fast.low, fast.high) == pytest.approx(expected, abs=1e-12)


def test_a_resample_draws_the_cases_of_a_group_together():
    rng = np.random.default_rng(7)
    references, correct = rng.choice(list("ABC"), size=50), rng.random(50) < 0.6
    groups = rng.choice([f"lesion {i}" for i in range(20)], size=50)
    names, own = np.unique(groups, return_inverse=True)

    def slow(drawn):
        rows = np.concatenate([np.flatnonzero(own == group) for group in drawn])
        return np.mean([correct[rows][references[rows] == c].mean() for c in set(references[rows])])

    draws = np.random.default_rng(0).integers(0, len(names), (300, len(names)))
    found = macro_recall(references, correct, groups=groups, resamples=300)
    expected = np.quantile([slow(drawn) for drawn in draws], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert found.value == pytest.approx(macro_recall(references, correct).value)
    assert found.n == len(names)
    with pytest.raises(ValueError, match="50 references, 49 predictions"):
        macro_recall(references, correct, groups=groups[1:])


@given(st.lists(st.sampled_from("ABC"), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_a_perfect_prediction_has_macro_figures_of_1(references):
    for estimate in (
        macro_f1(references, references, resamples=20),
        macro_recall(references, [1] * len(references), resamples=20),
    ):
        assert estimate.low == pytest.approx(1)
        assert estimate.value == pytest.approx(1)


@pytest.mark.parametrize("function", [macro_f1, macro_recall])
def test_predictions_must_be_as_many_as_references(function):
    with pytest.raises(ValueError, match="2 references, 1 predictions"):
        function(["A", "B"], [1])


def test_the_majority_class_is_chosen_on_training_labels_and_evaluated_on_held_out_ones():
    baseline = majority_baseline(["BCC"] * 5 + ["ACK"] * 4, ["ACK", "ACK", "ACK", "BCC"])
    assert baseline.label == "BCC"
    assert (baseline.accuracy.value, baseline.accuracy.n) == (0.25, 4)
    assert majority_baseline(["b", "a"], ["a"]).label == "a"
    with pytest.raises(ValueError, match="no training labels"):
        majority_baseline([], ["a"])


def test_the_safety_critical_rate_is_a_share_of_all_cases():
    estimate = safety_critical_rate([True, False, False, False])
    assert (estimate.value, estimate.n) == (0.25, 4)
    assert (estimate.low, estimate.high) == (0.0, 0.75)
