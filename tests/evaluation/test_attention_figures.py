"""Figures of maps whose answers are known."""

import math

import numpy as np
import pytest

from skinflow_jax.evaluation.attention_figures import FIGURES, change, estimate, figures_of

NONE = np.full(20, np.nan)


def figures(row, covered=NONE):
    return dict(zip(FIGURES, figures_of(np.asarray(row), covered), strict=True))


def test_an_even_map_has_an_entropy_of_one_a_tenth_in_its_top_tenth_and_the_area_inside():
    covered = np.where(np.arange(20) < 5, 1.0, 0.0)
    found = figures(np.full(20, 0.02), covered)
    assert found["image"] == pytest.approx(0.4)
    assert found["entropy"] == pytest.approx(1)
    assert found["top tenth"] == pytest.approx(0.1)
    assert found["inside"] == pytest.approx(0.25) == found["area"]
    assert found["excess"] == pytest.approx(0) and found["ratio"] == pytest.approx(1)


def test_a_single_token_has_no_entropy_and_all_in_the_top_tenth():
    row, covered = np.eye(20)[3] * 0.5, np.where(np.arange(20) == 3, 0.5, 0.0)
    found = figures(row, covered)
    assert found["entropy"] == 0 and found["top tenth"] == 1
    assert found["inside"] == 0.5 and found["area"] == 0.025 and found["ratio"] == 20


def test_two_even_tokens_have_the_logarithm_of_two():
    assert figures(np.eye(20)[3] + np.eye(20)[9])["entropy"] == pytest.approx(
        math.log(2) / math.log(20)
    )


@pytest.mark.parametrize("tokens", [1, 3, 10, 16, 25, 1024])
def test_the_top_tenth_of_an_even_map_is_a_tenth_whatever_the_number_of_tokens(tokens):
    found = figures_of(np.full(tokens, 0.5 / tokens), np.full(tokens, np.nan))
    assert found[FIGURES.index("top tenth")] == pytest.approx(0.1)
    assert found[FIGURES.index("entropy")] == pytest.approx(1)


def test_of_several_images_the_mask_is_compared_with_the_first_alone():
    covered = np.concatenate([[1.0, 0, 0, 0], np.full(16, np.nan)])
    row = np.concatenate([[0.02, 0.01, 0.01, 0], np.full(16, 0.05)])
    found = figures(row, covered)
    assert found["inside"] == pytest.approx(0.5) and found["area"] == 0.25


def test_without_a_query_or_a_mask_figures_are_unknown_not_zero():
    assert np.isnan(list(figures(np.zeros(20), np.ones(20)).values())).all()
    for covered in (NONE, np.zeros(20)):
        found = figures(np.full(20, 0.05), covered)
        assert [name for name, x in found.items() if np.isnan(x)] == list(FIGURES[3:])


def test_figures_of_many_rows_are_those_of_each():
    rows = np.random.default_rng(0).random((2, 3, 20))
    covered = np.random.default_rng(1).random(20)
    found = figures_of(rows, covered)
    assert found.shape == (2, 3, len(FIGURES))
    np.testing.assert_allclose(found[1, 2], figures_of(rows[1, 2], covered))


def test_unknown_cases_are_left_out_of_means_and_of_both_sides_of_differences():
    before, after = [0.1, 0.2, np.nan, 0.4], [0.2, np.nan, 0.9, 0.6]
    groups = ["a", "b", "c", "d"]
    assert estimate(before, groups).n == 3
    found = change(before, after, groups)
    assert found.n == 2 and found.groups == 2 and found.mean == pytest.approx(0.15)
