"""A fixed number of ids, each label in its share, that nothing but a hash has drawn."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping


def stratified_choice(labels: Mapping[str, str], count: int, seed: int) -> list[str]:
    """`count` of the ids, sorted; `labels` says the label of each.

    Each label has its share, rounded down; what is missing goes to the largest remainders, of equal
    ones to the label first in order. Of a label those with the smallest SHA-256 of "seed/id" are
    taken. Raises ValueError where there are too few.
    """
    if count > len(labels):
        raise ValueError(f"cannot choose {count:,} of {len(labels):,} ids")
    ids = defaultdict(list)
    for name, label in labels.items():
        ids[label].append(name)
    quota = {label: count * len(names) // len(labels) for label, names in ids.items()}
    remainders = {label: count * len(names) % len(labels) for label, names in ids.items()}
    by_remainder = sorted(ids, key=lambda label: (-remainders[label], label))
    for label in by_remainder[: count - sum(quota.values())]:
        quota[label] += 1
    return sorted(
        name
        for label, names in ids.items()
        for name in sorted(names, key=lambda name: _place(name, seed))[: quota[label]]
    )


def _place(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
