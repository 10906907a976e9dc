"""Claims about splits by group."""

from collections import Counter

import numpy as np
import pytest

from skinflow_jax.data.sources.group_split import split_by_group

FRACTIONS = {"heldout": 0.2, "warmup": 0.4, "rl": 0.4}


def _table(seed: int, items: int = 200) -> tuple[list[str], list[str]]:
    """Groups of mostly one item, labels from frequent to rare."""
    rng = np.random.default_rng(seed)
    groups = [f"g{i}" for i in rng.integers(0, 3 * items, items)]
    labels = rng.choice(list("abcd"), items, p=[0.5, 0.3, 0.15, 0.05]).tolist()
    return groups, labels


@pytest.mark.parametrize("seed", range(5))
def test_splits_partition_the_items_to_size_without_cutting_a_group(seed):
    groups, labels = _table(seed)
    splits = split_by_group(groups, labels, FRACTIONS, seed)
    assert sorted(i for members in splits.values() for i in members) == list(range(200))
    assert [len(splits[name]) for name in FRACTIONS] == [40, 80, 80]
    assert sum(len({groups[i] for i in m}) for m in splits.values()) == len(set(groups))


@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_in_every_split_in_about_its_share(seed):
    groups, labels = _table(seed)
    splits = split_by_group(groups, labels, FRACTIONS, seed)
    for name, members in splits.items():
        share = Counter(labels[i] for i in members)
        for label, count in Counter(labels).items():
            assert share[label] >= 1
            assert abs(share[label] - FRACTIONS[name] * count) <= 6


def test_the_order_of_the_rows_changes_nothing_and_the_seed_does():
    groups, labels = _table(0)
    names = [f"{g}/{i}" for i, g in enumerate(groups)]
    order = np.random.default_rng(1).permutation(len(groups))
    heldout = {names[i] for i in split_by_group(groups, labels, FRACTIONS, 7)["heldout"]}
    shuffled = split_by_group([groups[i] for i in order], [labels[i] for i in order], FRACTIONS, 7)
    assert {names[order[i]] for i in shuffled["heldout"]} == heldout
    other = {names[i] for i in split_by_group(groups, labels, FRACTIONS, 8)["heldout"]}
    assert other != heldout
