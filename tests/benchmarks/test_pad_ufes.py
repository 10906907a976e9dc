"""benchmarks/pad_ufes.py: scores by field, their baseline, and who is held out."""

import numpy as np
import pad_ufes
import pytest

from skinflow_jax.config import load_config
from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.splitting.splits import split_of

CASES = [
    Case("1", "anna", {"location": "face"}, "melanoma"),
    Case("2", "anna", {"location": "face", "size": "5-10 mm"}, "melanoma"),
    Case("3", "ben", {"location": "back", "size": "10-20 mm"}, "melanoma"),
]


def test_scores_are_by_field_means_over_seeds_and_unknown_where_the_case_is():
    right = '{"size": "10-20 mm", "location": "face"}'
    found = pad_ufes.mean_scores([[right] * 3, ["nonsense"] * 3], CASES)
    assert list(found) == ["size", "location", pad_ufes.MEAN]
    np.testing.assert_allclose(found["size"], [np.nan, 0.25, 0.5])
    np.testing.assert_allclose(found["location"], [0.5, 0.5, 0])
    np.testing.assert_allclose(found[pad_ufes.MEAN], [0.5, 0.375, 0.25])


def test_the_interval_is_over_patients_and_leaves_out_what_is_unknown():
    found = pad_ufes.estimate(np.array([np.nan, 0.25, 0.5]), [case.group for case in CASES])
    assert found.value == pytest.approx(0.375) and (found.n, found.groups) == (2, 2) and found.few
    three = pad_ufes.estimate(np.array([0.1, 0.25, 0.5]), [case.group for case in CASES])
    assert (three.n, three.groups) == (3, 2)
    before, after = np.array([np.nan, 0.25, 0.5]), np.array([np.nan, 0.5, 0.5])
    change = pad_ufes.difference(before, after, [case.group for case in CASES])
    assert (change.mean, change.n, change.gained, change.lost) == (0.125, 2, 1, 0)


def test_the_constant_caption_is_the_best_one_of_the_values_that_occur():
    found = pad_ufes.best_constant([*CASES, Case("4", "cora", {"location": "face"}, "melanoma")])
    assert '"location": "face"' in found
    scores = pad_ufes.mean_scores([[found] * 3], CASES)[pad_ufes.MEAN]
    for size in ("5-10 mm", "10-20 mm"):
        other = [[f'{{"size": "{size}", "location": "face"}}'] * 3]
        assert scores.mean() >= pad_ufes.mean_scores(other, CASES)[pad_ufes.MEAN].mean()


def test_all_runs_hold_out_the_same_patients():
    runs = {name: load_config(pad_ufes.CONFIGS / f"{name}.py").data for name in pad_ufes.RUNS}
    names = [f"pad_ufes_20/PAT_{number}" for number in range(300)]
    heldout = [
        [split_of(name, run.fractions, run.seed) == "heldout" for name in names]
        for run in runs.values()
    ]
    assert heldout[0] == heldout[1] == heldout[2] and 0.2 < np.mean(heldout[0]) < 0.4
    assert [run.split for run in runs.values()] == ["warmup", "rl", "training"]
