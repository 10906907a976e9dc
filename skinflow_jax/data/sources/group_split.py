"""Splits that never cut a group, and in which a group stays whatever joins the table."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence


def split_by_group(
    groups: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    united: Iterable[Iterable[str]] = (),
) -> dict[str, list[int]]:
    """Indices of each split, ascending; a group lies in one split only.

    A group's place is a hash of the seed and its name, in [0, 1); the splits take it up in their
    order, each as much as its fraction. So a split has about its fraction of the groups, not
    exactly, and a group's split depends on nothing else.

    Groups that are `united`, because they share an image, go together to the first split that one
    of them has: put the held-out split last, and no group leaves training for it when another joins
    it there.
    """
    own = {group: split_of(group, fractions, seed) for group in groups}
    order = list(fractions)
    for together in united:
        earliest = min((own[group] for group in together), key=order.index)
        own.update(dict.fromkeys(together, earliest))
    splits = {name: [] for name in fractions}
    for index, group in enumerate(groups):
        splits[own[group]].append(index)
    return splits


def split_of(group: str, fractions: Mapping[str, float], seed: int) -> str:
    """The split of one group: its place by a hash of the seed and its name."""
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    place = int.from_bytes(digest[:7]) / 2**56  # exact in a float, and below 1
    edge = 0.0
    for name, fraction in fractions.items():
        edge += fraction
        if place < edge:
            return name
    return name


def united_groups(pairs: Iterable[Sequence[str]]) -> list[list[str]]:
    """Groups that are joined, directly or through others, sorted; those alone are left out.

    Each of `pairs` holds the groups that share something.
    """
    members = {}
    for sharing in pairs:
        together = set(sharing).union(*(members.get(group, ()) for group in sharing))
        members.update(dict.fromkeys(together, together))
    unique = {id(together): sorted(together) for together in members.values() if len(together) > 1}
    return sorted(unique.values())


def few_groups(groups: Sequence[str], labels: Sequence[str], expected: Iterable[str]) -> list[str]:
    """A line for each expected label that fewer than two groups have."""
    having = defaultdict(set)
    for group, label in zip(groups, labels, strict=True):
        having[label].add(group)
    return [
        f"fewer than two groups with {label} ({len(having[label])})"
        for label in expected
        if len(having[label]) < 2
    ]
