"""Figures against counts made by hand and scipy, and which interval each of them has."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from skinflow_jax.evaluation.metrics import (
    BOOTSTRAP,
    EFFECTIVE,
    EXACT,
    NO_INTERVAL,
    SQUARE_AND_ADD,
    macro_f1,
    macro_recall,
    macro_recall_difference,
    majority_baseline,
    mcnemar_p_value,
    mean_with_interval,
    paired_difference,
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
    values = [estimate.value for estimate in top_k_estimates(ranks)]
    assert len(values) == 6
    assert values == sorted(values)
    assert values[-1] == pytest.approx(sum(rank is not None for rank in ranks) / len(ranks))


@pytest.mark.parametrize(("ranks", "k"), [([0], 1), ([1], 0), ([-1, None], 6)])
def test_ranks_count_from_1(ranks, k):
    with pytest.raises(ValueError, match="count from 1"):
        top_k(ranks, k)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 12), (3, 12), (12, 12), (47, 300)])
def test_a_share_of_single_cases_has_the_exact_interval(k, n):
    expected = binomtest(k, n).proportion_ci(confidence_level=0.9, method="exact")
    for groups in (None, [f"patient {i}" for i in range(n)]):
        found = mean_with_interval([1] * k + [0] * (n - k), groups=groups, confidence=0.9)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert (found.n, found.groups, found.method) == (n, n, EXACT)


@pytest.mark.parametrize("k", [0, 1, 3, 12])
def test_lesions_whose_images_are_answered_alike_count_once(k):
    right, lesions = np.repeat(np.arange(12) < k, 4), np.repeat(np.arange(12), 4)
    expected = binomtest(k, 12).proportion_ci(method="exact")
    found = mean_with_interval(right, groups=lesions)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert (found.n, found.groups, found.method) == (48, 12, EFFECTIVE)


def test_scores_have_the_bootstrap_within_their_range():
    scores = np.array([0.1, 0.9, 1.0])
    found = mean_with_interval(scores)
    assert (found.low, found.high) == pytest.approx((0, 1)) and found.method == BOOTSTRAP
    far = mean_with_interval(10 * scores)
    assert far.high > 10, "no range is known of values beyond 1"
    moved = paired_difference(np.zeros(3), -scores)
    assert moved.low == pytest.approx(-1) and moved.method == BOOTSTRAP


def test_scores_that_do_not_vary_claim_what_a_share_would_or_nothing():
    same = mean_with_interval([0.5] * 300)
    assert same.method == EFFECTIVE and 0.49 < same.low < 0.5 < same.high < 0.51
    twice = mean_with_interval([0.5] * 600, groups=[i // 2 for i in range(600)])
    assert twice.low == pytest.approx(same.low, rel=0.01), "of as many lesions"
    unbounded = mean_with_interval([5.0] * 300)
    assert (unbounded.value, unbounded.n, unbounded.method) == (5.0, 300, NO_INTERVAL)
    assert math.isnan(unbounded.low) and math.isnan(unbounded.high)


def test_figures_of_fewer_than_20_groups_are_few():
    assert mean_with_interval([1] * 19).few and not mean_with_interval([1] * 20).few
    assert mean_with_interval([1] * 38, groups=[i // 2 for i in range(38)]).few
    assert mean_with_interval([1] * 19).to_dict()["few"] is True


VALUES = st.lists(
    st.tuples(st.sampled_from([0, 0.25, 0.5, 1]), st.sampled_from("ABC"), st.integers(0, 9)),
    min_size=1,
    max_size=30,
)


@given(VALUES, st.randoms())
@settings(max_examples=60, deadline=None)
def test_no_figure_depends_on_the_order_of_cases_and_each_lies_in_its_interval(rows, random):
    def figures(rows):
        values, classes, groups = zip(*rows, strict=True)
        whole, other = [value == 1 for value in values], ["ABCD"[g % 4] for g in groups]
        options = {"groups": [f"patient {g}" for g in groups]}
        return [
            mean_with_interval(values, resamples=50, **options),
            mean_with_interval(whole, **options),
            macro_recall(classes, values, **options),
            macro_f1(classes, other, **options),
            paired_difference(values, whole, resamples=50, **options),
            paired_difference(whole, [c == "A" for c in classes], **options),
            macro_recall_difference(classes, values, whole, **options),
        ]

    found = figures(rows)
    random.shuffle(rows)
    for one, other in zip(found, figures(rows), strict=True):
        one, other = dataclasses.asdict(one), dataclasses.asdict(other)
        assert one == pytest.approx(other, abs=1e-9, nan_ok=True)
        value = one.get("value", one.get("mean"))
        assert one["low"] <= value <= one["high"] and one["low"] < one["high"]


def test_no_cases_give_nan_and_n_0_instead_of_an_error():
    estimate = mean_with_interval([])
    assert estimate.n == 0
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert macro_f1([], []).n == 0
    assert math.isnan(paired_difference([], []).mean)
    assert macro_recall([], []).n == macro_recall_difference([], [], []).n == 0
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


def test_a_difference_of_pairs_of_which_none_moved_still_has_a_width():
    upper = binomtest(0, 50).proportion_ci(method="exact").high
    for values in (np.zeros(50), np.full(50, 0.7)):
        change = paired_difference(values, values)
        assert change.method == SQUARE_AND_ADD
        assert (change.low, change.mean, change.high) == pytest.approx((-upper, 0, upper))


def test_square_and_add_is_newcombes_with_the_correlation_of_gains_and_losses():
    # 61 gained and 36 lost of 300: -sqrt(p q / ((1 - p) (1 - q))) for what excludes each other
    up, down = (binomtest(k, 300).proportion_ci(method="exact") for k in (61, 36))
    p, q = 61 / 300, 36 / 300
    correlation = -math.sqrt(p * q / ((1 - p) * (1 - q)))

    def distance(a, b):
        return math.sqrt(a * a + b * b - 2 * correlation * a * b)

    before, after = np.r_[np.ones(36), np.zeros(264)], np.r_[np.zeros(239), np.ones(61)]
    change = paired_difference(before, after)
    assert change.low == pytest.approx(p - q - distance(p - up.low, down.high - q))
    assert change.high == pytest.approx(p - q + distance(up.high - p, q - down.low))
    assert change.beyond_interval and (change.gained, change.lost) == (61, 36)


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


def test_with_many_cases_macro_intervals_are_the_normal_approximation_by_groups():
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(3000), 2)
    own = np.repeat(rng.choice(4, size=3000, p=[0.5, 0.3, 0.15, 0.05]), 2)
    rates = np.array([0.2, 0.5, 0.7, 0.4])
    right = np.repeat(rng.random(3000) < rates[own[::2]], 2)
    found = macro_recall(own.tolist(), right, groups=groups)
    counts = np.bincount(own[::2])
    shares = np.bincount(own, right) / np.bincount(own)
    error = 1.96 * math.sqrt((shares * (1 - shares) / counts).sum()) / 4
    assert found.value == pytest.approx(shares.mean()) and found.groups == 3000
    assert found.high - found.low == pytest.approx(2 * error, rel=0.03)
    alone = macro_recall(own.tolist(), right)
    assert alone.high - alone.low == pytest.approx(2 * error / math.sqrt(2), rel=0.03)


def test_groups_must_be_as_many_as_cases_and_correct_within_0_and_1():
    with pytest.raises(ValueError, match="2 groups of 3 cases"):
        mean_with_interval([0, 1, 1], groups=["a", "b"])
    with pytest.raises(ValueError, match="macro_recall_difference"):
        macro_recall(["a", "b"], [-1, 1])


def test_the_difference_of_macro_recalls_weighs_classes():
    classes = ["A"] * 4 + ["B"] * 2
    change = macro_recall_difference(classes, [1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 1, 0])
    assert change.mean == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert (change.gained, change.lost, change.n) == (3, 1, 6)


@given(st.lists(st.sampled_from("ABC"), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_a_perfect_prediction_has_macro_figures_of_1(references):
    for estimate in (
        macro_f1(references, references),
        macro_recall(references, [1] * len(references)),
    ):
        assert estimate.value == estimate.high == pytest.approx(1)
        assert estimate.low < 1


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
