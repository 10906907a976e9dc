"""One field of a caption: how a value is recognised, and how like two values are."""

import functools
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from skinflow_jax.clinical.limits import MOST_CHARACTERS_OF_VALUE
from skinflow_jax.clinical.measures import count, millimetres
from skinflow_jax.clinical.wording import normalise

PARTIAL = 0.5
"""Credit for a neighbouring value, and the factor for each step in the tree of values."""

MOST_VALUES = {"one": 2, "many": 4}
"""A longer list (and longer than the reference's) recites the vocabulary and scores 0."""

# Words, and what joins them. Any other sign may deny or doubt: "≠ red", "(-) red", "red?".
_PLAIN = re.compile(r"\w+(?:[\s'’–‐-]+\w+)*")
_REMEMBERED = 4096
_READERS = {"mm": millimetres, "count": count}
Limit = tuple[Literal["<", "<="], float]


@dataclass(frozen=True)
class Field:
    """One caption field.

    `values` are canonical and ordered; `wordings` are the synonyms of each; `many` says that a
    caption may list several; `optional` that a caption is complete without the field (it is scored
    like any other where the reference knows it); `near` are pairs of neighbouring values; `parents`
    says within which other value one lies; numbers of the unit `measure` fall below one of `limits`
    or have the last value.
    """

    name: str
    values: tuple[str, ...]
    wordings: Mapping[str, tuple[str, ...]]
    many: bool = False
    optional: bool = False
    near: frozenset[frozenset[str]] = frozenset()
    parents: Mapping[str, str] = field(default_factory=dict)
    measure: str | None = None
    limits: tuple[Limit, ...] = ()

    def __post_init__(self):
        known = {normalise(word): value for word, value in self.words()}
        object.__setattr__(self, "synonyms", known)
        object.__setattr__(self, "_written", {_letters(word) for word, _ in self.words()})
        # A policy says the same words again and again.
        remembered = functools.lru_cache(maxsize=_REMEMBERED)(self._canonical)
        object.__setattr__(self, "_remembered", remembered)

    def __reduce__(self):
        # What is remembered stays behind.
        return Field, tuple(getattr(self, entry.name) for entry in fields(self))

    def words(self) -> Iterator[tuple[str, str]]:
        """Every wording, canonical ones among them, with its value."""
        for value in self.values:
            yield value, value
            yield from ((word, value) for word in self.wordings.get(value, ()))

    def canonical(self, text: str) -> str | None:
        """The value that `text` stands for, None when the vocabulary lacks it.

        Signs that are not of a word or a measurement count only where a wording has them.
        """
        return None if len(text) > MOST_CHARACTERS_OF_VALUE else self._remembered(text)

    def _canonical(self, text: str) -> str | None:
        # "< 5 mm" and "5 mm" normalise to the same words: the reader of signs goes first.
        if value := self._measured(text):
            return value
        letters = _letters(text)
        if _PLAIN.fullmatch(letters) is None and letters not in self._written:
            return None
        return self.synonyms.get(normalise(text))

    def _measured(self, text: str) -> str | None:
        number = _READERS[self.measure](text) if self.measure else None
        return None if number is None else self.value_of(number)

    def value_of(self, number: float) -> str:
        """The value of a number in the unit of `measure`."""
        for value, (sign, limit) in zip(self.values, self.limits, strict=False):
            if number < limit or (sign == "<=" and number == limit):
                return value
        return self.values[-1]

    def compare(self, a: str, b: str) -> float:
        """The likeness of two canonical values, in [0, 1]."""
        if a == b:
            return 1.0
        return max(PARTIAL * (frozenset((a, b)) in self.near), self._within(a, b))

    def _within(self, a: str, b: str) -> float:
        """`PARTIAL` for each step in the tree, 0 beyond two steps: nose and lip are two apart."""
        up_from_a, up_from_b = self._ancestry(a), self._ancestry(b)
        shared = [value for value in up_from_a if value in up_from_b]
        if not shared:
            return 0.0
        steps = up_from_a.index(shared[0]) + up_from_b.index(shared[0])
        return PARTIAL**steps if steps <= 2 else 0.0

    def _ancestry(self, value: str) -> list[str]:
        chain = [value]
        while chain[-1] in self.parents:
            chain.append(self.parents[chain[-1]])
        return chain

    def score(self, given: set[str], target: Sequence[str]) -> float:
        """How well canonical values, and unknown ones, agree with the target's, in [0, 1]."""
        most = MOST_VALUES["many" if self.many else "one"]
        if not given or len(given) > max(most, len(target)):
            return 0.0
        known = [value for value in self.values if value in given]
        if self.many:
            return 2 * self._agreement(known, target) / (len(given) + len(target))
        return math.fsum(self.compare(value, target[0]) for value in known) / len(given)

    def _agreement(self, given: Sequence[str], target: Sequence[str]) -> float:
        """Total likeness of the best one-to-one pairing; pairing equals first is never worse."""
        equal = set(given) & set(target)
        left, wanted = ([v for v in values if v not in equal] for values in (given, target))
        likeness = np.array([[self.compare(a, b) for b in wanted] for a in left])
        if not likeness.size:
            return float(len(equal))
        pairs = linear_sum_assignment(likeness, maximize=True)
        return len(equal) + math.fsum(likeness[pairs])


def _letters(text: str) -> str:
    """`text` as it is compared sign by sign; white space around and a full stop do not matter."""
    return unicodedata.normalize("NFKC", text).casefold().strip(" \t\r\n.")
