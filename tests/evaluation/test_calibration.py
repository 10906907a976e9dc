"""Claims about calibration, against answers that are known."""

import math

import numpy as np
import pytest

from skinflow_jax.evaluation.calibration import (
    area,
    area_under_risk,
    bins_of,
    calibration,
    calibration_error,
    risk_at,
)
from skinflow_jax.evaluation.predictions import Prediction


def diagnosed(sure, right, groups=None):
    return [
        Prediction(
            *(str(i), "diagnosis", "", "melanoma", True),
            rank=1 if hit else 2,
            confidence=None if confidence is None else float(confidence),
            group="" if groups is None else str(groups[i]),
        )
        for i, (confidence, hit) in enumerate(zip(sure, right, strict=True))
    ]


def test_bins_hold_about_equally_many_and_equal_confidences_are_in_one():
    place = bins_of(np.arange(100) / 100)
    assert np.bincount(place).tolist() == [10] * 10 and (np.diff(place) >= 0).all()
    assert bins_of(np.full(7, 0.5)).tolist() == [0] * 7
    tied = bins_of(np.repeat([0.1, 0.5, 0.9], [80, 10, 10]))
    assert [len(set(part)) for part in np.split(tied, [80, 90])] == [1, 1, 1]


def test_the_ece_is_the_sum_over_bins_of_what_accuracy_lacks():
    found = calibration(diagnosed([0.5] * 10 + [0.9] * 10, [1] * 7 + [0] * 3 + [1] * 5 + [0] * 5))
    assert found.ece.value == pytest.approx(0.5 * 0.2 + 0.5 * 0.4)
    assert found.overconfidence.value == pytest.approx(0.7 - 0.6)
    assert [(b.confidence, b.accuracy.value, b.accuracy.n) for b in found.bins] == [
        (0.5, 0.7, 10),
        (0.9, 0.5, 10),
    ]


@pytest.mark.parametrize("size", [1, 4])
def test_the_interval_of_the_ece_holds_0_of_calibrated_answers_and_not_of_overconfident(size):
    rng, count, held = np.random.default_rng(size), 100, 0
    groups = np.repeat(np.arange(count), size)

    def ece(likely):
        sure = rng.random(count)
        right = np.repeat(rng.random(count) < likely(sure), size).astype(float)
        return calibration_error(np.repeat(sure, size), right, groups, resamples=200)

    for _ in range(20):
        held += ece(lambda sure: sure).low == 0
    assert held >= 17, "95 % hold it, and less than 17 of 20 happens once in 60"
    found = ece(lambda sure: sure / 2)
    assert 0 < found.low < 0.25 < found.high, "half as often right as sure: E u / 2"
    assert (found.n, found.groups) == (count * size, count)


def test_the_area_under_the_risk_coverage_curve_has_its_known_values():
    wrong = 0.3
    right = (np.arange(1000) < 700).astype(float)
    one = np.ones((1, 1000))
    perfect = wrong + (1 - wrong) * math.log(1 - wrong)
    assert area(np.linspace(1, 0, 1000), right, one)[0] == pytest.approx(perfect, abs=1e-6)
    assert area(np.full(1000, 0.5), right, one)[0] == pytest.approx(wrong)
    assert area(np.linspace(0, 1, 1000), right, one)[0] == pytest.approx(
        wrong - wrong * math.log(wrong), abs=1e-6
    ), "the surest are the wrong ones"
    doubled = np.repeat(np.arange(50) / 50, 2), np.repeat(np.arange(50) % 3 == 0, 2).astype(float)
    half = np.arange(50) / 50, (np.arange(50) % 3 == 0).astype(float)
    assert area(*doubled, np.ones((1, 100))) == pytest.approx(area(*half, np.full((1, 50), 2.0)))


def test_the_risk_among_the_surest_is_counted_from_them():
    sure, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 0.0, 1.0, 0.0])
    risk = risk_at(np.array([0.25, 0.5, 1.0]), sure, right)
    assert risk.tolist() == [0.0, 0.5, 0.5]
    order = [2, 0, 3, 1]
    assert risk_at(np.array([0.5]), sure[order], right[order]).tolist() == [0.5]


def test_where_nothing_went_wrong_the_intervals_still_have_a_width():
    found = calibration(diagnosed([1.0] * 30, [1] * 30))
    assert found.ece.value == found.aurc.value == 0.0
    assert found.ece.high == found.aurc.high == pytest.approx(1 - 0.025 ** (1 / 30))


def test_answers_without_a_confidence_are_left_out_and_counted():
    assert calibration(diagnosed([None, None], [1, 0])) is None
    found = calibration(diagnosed([0.5, None, 0.75], [1, 1, 0]))
    assert (found.ece.n, found.without) == (2, 1)
    assert found.to_dict()["without"] == 1


def test_the_interval_of_the_area_covers_93_percent():
    rng, count, held = np.random.default_rng(0), 100, []
    for _ in range(100):
        sure = rng.random(count)
        right = (rng.random(count) < sure).astype(float)
        found = area_under_risk(sure, right, np.arange(count), resamples=100)
        held.append(found.low <= 0.25 <= found.high)
    assert np.mean(held) >= 0.93 - 3 * math.sqrt(0.93 * 0.07 / 100), np.mean(held)
