"""Intervals of 95 % hold the truth as often as they say: added up where that can be, else drawn.

SKINFLOW_COVERAGE=5000 pytest -s tests/evaluation/test_coverage.py draws as many samples of each
kind and prints how many intervals held the truth.
"""

import os

import numpy as np
import pytest
from scipy.stats import binom

from skinflow_jax.evaluation.metrics import (
    macro_f1,
    macro_recall,
    macro_recall_difference,
    mean_with_interval,
    paired_difference,
)

SAMPLES = int(os.environ.get("SKINFLOW_COVERAGE", "400"))
RESAMPLES = 400 if SAMPLES < 1000 else 2000
RATES = (0.02, 0.05, 0.1, 0.3, 0.5)


def assert_covered(name, draw, truth, least):
    """`draw(rng)` gives (low, high); three standard errors below `least` are chance."""
    rng = np.random.default_rng(list(name.encode()))
    found = [draw(rng) for _ in range(SAMPLES)]
    held = np.mean([low <= truth <= high for low, high in found])
    width = np.mean([high - low for low, high in found])
    print(f"{name}: {100 * held:.1f} %, mean width {width:.3f}")
    assert held >= least - 3 * np.sqrt(least * (1 - least) / SAMPLES), name


def ends(estimate):
    return estimate.low, estimate.high


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("n", [12, 47, 300])
def test_shares_cover_95_percent_also_where_the_cases_of_a_group_answer_alike(n, size):
    count = n // size
    groups = np.repeat(np.arange(count), size)
    found = [
        mean_with_interval(np.repeat(np.arange(count) < k, size), groups=groups)
        for k in range(count + 1)
    ]
    for p in RATES:
        held = [estimate.low <= p <= estimate.high for estimate in found]
        coverage = binom.pmf(np.arange(count + 1), count, p) @ held
        print(f"n {n}, groups of {size}, p {p}: {100 * coverage:.1f} %")
        assert coverage >= 0.95


def partly_alike(rng, p, count, size, likeness):
    """0/1 values of groups whose correlation within is `likeness` (beta-binomial)."""
    scale = (1 - likeness) / likeness
    own = rng.beta(p * scale, (1 - p) * scale, count)
    return (rng.random((count, size)) < own[:, None]).ravel().astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("n", [12, 47, 300])
def test_shares_cover_95_percent_where_groups_are_partly_alike(n, size):
    groups = np.repeat(np.arange(n // size), size)
    for p in RATES:
        for likeness in (0.05, 0.5):

            def draw(rng, p=p, likeness=likeness):
                values = partly_alike(rng, p, n // size, size, likeness)
                return ends(mean_with_interval(values, groups=groups))

            assert_covered(f"n {n}, groups of {size}, p {p}, {likeness} alike", draw, p, 0.95)


def test_shares_cover_93_percent_with_groups_of_many_sizes():
    for p in RATES:

        def draw(rng, p=p):
            sizes = rng.choice([1, 1, 1, 2, 3, 8], 40)
            values = np.repeat(rng.random(40) < p, sizes)
            return ends(mean_with_interval(values, groups=np.repeat(np.arange(40), sizes)))

        assert_covered(f"40 groups of 1 to 8 alike, p {p}", draw, p, 0.93)


CLASSES = {
    "five classes": np.ones(5) / 5,
    "seven classes, rare ones": np.array([0.5, 0.2, 0.1, 0.08, 0.05, 0.04, 0.03]),
    "twenty classes": np.ones(20) / 20,
}


def recalls(p, count):
    return np.linspace(0.1, 0.9, count) if p is None else np.full(count, p)


def drawn_classes(rng, shares, n):
    """Each class once, the others by their shares."""
    return np.r_[np.arange(len(shares)), rng.choice(len(shares), n - len(shares), p=shares)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("size", [1, 4])
def test_macro_recall_covers_93_percent_from_30_groups_on(name, size):
    shares = CLASSES[name]
    for count in (30, 300):
        for p in (0.02, 0.1, 0.5, None):
            rates = recalls(p, len(shares))

            def draw(rng, count=count, rates=rates):
                own = drawn_classes(rng, shares, count)
                right = rng.random(count) < rates[own]
                own, right = np.repeat(own, size), np.repeat(right, size)
                groups = np.repeat(np.arange(count), size)
                return ends(macro_recall(own.tolist(), right, groups=groups))

            text = f"macro recall, {name}, {count} groups of {size}, recall {p or '.1 to .9'}"
            assert_covered(text, draw, rates.mean(), 0.93)


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 300])
def test_macro_f1_covers_93_percent(n):
    for right in (0.05, 0.3, 0.8):
        confusion = np.full((4, 5), (1 - right) / 4) + np.eye(4, 5) * (right - (1 - right) / 4)
        shares = np.array([0.4, 0.3, 0.2, 0.1])
        joint = shares[:, None] * confusion
        truth = np.mean(2 * np.diag(joint) / (shares + joint.sum(axis=0)[:4]))

        def draw(rng, confusion=confusion, shares=shares):
            own = drawn_classes(rng, shares, n)
            drawn = confusion[own].cumsum(axis=1) < rng.random((n, 1))
            return ends(macro_f1(own.tolist(), drawn.sum(axis=1).tolist()))

        assert_covered(f"macro F1, n {n}, {right} right", draw, truth, 0.93)


SCORES = {
    "even": (lambda rng, n: rng.random(n), 0.5),
    "high": (lambda rng, n: rng.beta(5, 1, n), 5 / 6),
    "of eight fields": (lambda rng, n: rng.binomial(8, 0.85, n) / 8, 0.85),
    "mostly 0": (lambda rng, n: (rng.random(n) < 0.1) * rng.random(n), 0.05),
    "rarely 0.5": (lambda rng, n: (rng.random(n) < 0.05) / 2, 0.025),
    "mostly 1": (lambda rng, n: 1 - (rng.random(n) < 0.1) * rng.random(n) / 2, 0.975),
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("size", [1, 4])
def test_means_of_scores_cover_93_percent_from_30_groups_on(name, size):
    make, truth = SCORES[name]
    for count in (30, 100):

        def draw(rng, count=count):
            values = np.repeat(make(rng, count), size)
            groups = np.repeat(np.arange(count), size)
            return ends(mean_with_interval(values, groups=groups, resamples=RESAMPLES))

        assert_covered(f"scores, {name}, {count} groups of {size}", draw, truth, 0.93)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 4])
def test_differences_of_0_and_1_cover_93_percent_from_30_groups_on(size):
    for count in (30, 100, 300):
        groups = np.repeat(np.arange(count), size)
        for gained, lost in ((0, 0), (0.02, 0), (0.05, 0.02), (0.1, 0.1), (0.3, 0.1), (0.4, 0.4)):

            def draw(rng, gained=gained, lost=lost, count=count, groups=groups):
                place = np.repeat(rng.random(count), size)
                return ends(paired_difference(place > 1 - lost, place < gained, groups=groups))

            text = f"0/1 difference, {count} groups of {size}, +{gained} -{lost}"
            assert_covered(text, draw, gained - lost, 0.93)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 4])
def test_differences_of_scores_and_of_macro_recalls_cover_93_percent(size):
    shares = CLASSES["seven classes, rare ones"]
    for count in (30, 100):
        groups = np.repeat(np.arange(count), size)

        def scores(rng, count=count, groups=groups):
            case, moved = rng.random(count), rng.random(count) < 0.3
            after = np.where(moved, np.clip(case + 0.3, 0, 1), case)
            pair = np.repeat(case, size), np.repeat(after, size)
            return ends(paired_difference(*pair, groups=groups, resamples=RESAMPLES))

        # E min(u + .3, 1) - u = .3 - .3² / 2 over all u, in 3 of 10 cases
        assert_covered(f"score difference, {count} groups of {size}", scores, 0.3 * 0.255, 0.93)

        def macro(rng, count=count, groups=groups):
            own, place = drawn_classes(rng, shares, count), rng.random(count)
            own, place = np.repeat(own, size).tolist(), np.repeat(place, size)
            pair = place > 0.9, place < 0.25
            return ends(macro_recall_difference(own, *pair, groups=groups))

        assert_covered(f"macro difference, {count} groups of {size}", macro, 0.15, 0.93)
