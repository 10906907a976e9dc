"""Splits that never cut a group and keep the share of every class."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence


def split_by_group(
    groups: Sequence[str], labels: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Indices of each split, ascending; a group lies in one split only.

    Each split but the last takes `round(fraction * len(groups))` items, exactly where groups of
    one item are left to fill up with, and about its fraction of every label, at least one. Which
    groups it takes depends on the seed and their names alone, not on the order of the rows.
    """
    items = defaultdict(list)
    for index, group in enumerate(groups):
        items[group].append(index)
    frequency = Counter(labels)
    # A group of several labels counts for its rarest, which has the fewest to give.
    stratum = {
        group: min((labels[i] for i in members), key=lambda label: (frequency[label], label))
        for group, members in items.items()
    }
    remaining = sorted(items, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
    *taking, last = fractions
    splits = {}
    for name in taking:
        taken = _take(remaining, items, stratum, fractions[name], len(groups))
        splits[name] = sorted(i for group in taken for i in items[group])
        remaining = [group for group in remaining if group not in taken]
    splits[last] = sorted(i for group in remaining for i in items[group])
    return splits


def _take(
    remaining: Sequence[str],
    items: Mapping[str, Sequence[int]],
    stratum: Mapping[str, str],
    fraction: float,
    total: int,
) -> set[str]:
    """Groups for one split: first the quota of each stratum, then any that fit."""
    size = Counter()
    for group, members in items.items():
        size[stratum[group]] += len(members)
    room = round(fraction * total)
    quota = {label: max(1, int(fraction * n)) for label, n in size.items()}
    taken: set[str] = set()
    for group in remaining:
        need = len(items[group])
        if need <= min(quota[stratum[group]], room):
            taken.add(group)
            quota[stratum[group]] -= need
            room -= need
    for group in remaining:
        if group not in taken and len(items[group]) <= room:
            taken.add(group)
            room -= len(items[group])
    return taken
