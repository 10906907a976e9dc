"""Claims about splits by group."""

import numpy as np
import pytest

from skinflow_jax.data.sources.group_split import few_groups, split_by_group, united_groups

FRACTIONS = {"warmup": 0.4, "rl": 0.4, "heldout": 0.2}


def _groups(seed: int, items: int = 3000) -> list[str]:
    """Mostly of one item."""
    return [f"g{i}" for i in np.random.default_rng(seed).integers(0, 3 * items, items)]


def _split_of(groups, seed=0, united=()) -> dict[str, str]:
    splits = split_by_group(groups, FRACTIONS, seed, united)
    return {groups[i]: name for name, members in splits.items() for i in members}


@pytest.mark.parametrize("seed", range(5))
def test_splits_partition_the_items_without_cutting_a_group(seed):
    groups = _groups(seed)
    splits = split_by_group(groups, FRACTIONS, seed)
    assert sorted(i for members in splits.values() for i in members) == list(range(len(groups)))
    assert all(members == sorted(members) for members in splits.values())
    assert sum(len({groups[i] for i in m}) for m in splits.values()) == len(set(groups))


@pytest.mark.parametrize("seed", range(5))
def test_each_split_has_about_its_fraction(seed):
    """Of n groups a fraction f, give or take 4 standard deviations, sqrt(n f (1 - f))."""
    own = _split_of(_groups(seed), seed)
    for name, fraction in FRACTIONS.items():
        deviation = (len(own) * fraction * (1 - fraction)) ** 0.5
        count = sum(split == name for split in own.values())
        assert abs(count - fraction * len(own)) < 4 * deviation


def test_a_group_stays_whatever_joins_or_leaves_and_in_any_order():
    groups = _groups(0)
    alone = _split_of(groups[:100])
    for others in (groups, groups[::-1], groups[50:], _groups(1) + groups):
        found = _split_of(others)
        assert all(found[group] == split for group, split in alone.items() if group in found)
    assert _split_of(groups, seed=1) != _split_of(groups, seed=0)


def test_the_place_of_a_group_is_fixed_for_good():
    """Recorded once: records, runs and published figures depend on it."""
    own = _split_of([f"PAT_{i}" for i in range(12)])
    letters = "".join(own[f"PAT_{i}"][0] for i in range(12))
    assert letters == "wrrwrhrrhrrh"


def test_united_groups_go_together_and_never_from_training_to_held_out():
    groups = [f"g{i}" for i in range(300)]
    own, rng = _split_of(groups), np.random.default_rng(0)
    united = united_groups(rng.choice(groups, (40, 2)).tolist())
    found = _split_of(groups, united=united)
    for together in united:
        assert len({found[group] for group in together}) == 1
        assert found[together[0]] == min((own[g] for g in together), key=list(FRACTIONS).index)
    moved = {group for group in groups if found[group] != own[group]}
    assert moved <= {group for together in united for group in together}
    assert not any(found[group] == "heldout" for group in moved)


def test_groups_are_united_through_others():
    pairs = [("a", "b"), ("c", "d"), ("e", "e"), ("b", "c"), ("x", "y", "z")]
    assert united_groups(pairs) == [["a", "b", "c", "d"], ["x", "y", "z"]]
    assert united_groups([]) == []


def test_labels_of_fewer_than_two_groups_are_named():
    """Two items of one group are one patient."""
    lines = few_groups(["p", "p", "q", "r"], ["a", "a", "b", "b"], ["a", "b", "c"])
    assert lines == ["fewer than two groups with a (1)", "fewer than two groups with c (0)"]
