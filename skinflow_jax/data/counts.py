"""How many cases of a kind there are."""

from collections import Counter
from collections.abc import Iterable

from skinflow_jax.data.sources.case import Case

UNKNOWN = "unknown"
"""Counted for a case without a diagnosis."""

FACTS = (
    "source",
    "fitzpatrick",
    "fitzpatrick_pair",
    "skin_tone_class",
    "nine_partition",
    "three_partition",
    "licence",
)
"""Attributes that are counted where cases have them."""


def counts(cases: Iterable[Case]) -> dict[str, dict[str, int]]:
    """How many cases have each diagnosis, each of `FACTS` and each number of images."""
    found = {"diagnosis": Counter(), "images": Counter()}
    for case in cases:
        found["diagnosis"][case.diagnosis or UNKNOWN] += 1
        found["images"][str(len(case.views))] += 1
        for name in FACTS:
            if name in case.attributes:
                found.setdefault(name, Counter())[str(case.attributes[name])] += 1
    return {name: dict(sorted(each.items())) for name, each in found.items()}
