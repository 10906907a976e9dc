"""Words mistyped: the known words of nearly the same letters, where no other word can be meant."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import OSA, Levenshtein

LONG, VERY_LONG = 7, 10
"""Letters of a word in which one, and in which two mistyped letters are read (our choice)."""

MOST_SLIPS = 2
"""Letters in a whole name."""

# What stands at either end of a word makes another disease of it: "hypo" is no slip for "hyper".
_PREFIX = re.compile(
    "hyper|hypo|para|peri|poro|pseudo|anti|ante|epi|endo|ecto|exo|mono|oligo|poly|micro|macro|mega|intra|inter|"
    "infra|supra|sub|pre|post|neo|non|un|dys|dis|iso|hetero|homo|leuko|melano|xantho|erythro|phyto|photo"
)
_SUFFIX = re.compile(
    "(?:odermia|oderma|oid|ectomy|lysis|plasia|pathy|ptosis|iasis|osis|itis|oma|ema|rrhoea|rrhea|ula|ule|ella)$"
)


def _pairs(rows: str) -> Iterator[str]:
    return (a + b for row in rows.split() for a in row for b in row)


# Vowels, letters of one sound, and neighbours on a keyboard.
_NEIGHBOURS = "qwertyuiop asdfghjkl zxcvbnm qaz wsx edc rfv tgb yhn ujm ik ol"
VOWELS = frozenset("aeiouy")
_ALIKE = frozenset(_pairs("aeiouy ck cs sz dt bp mn gj fv lr")) | {
    a + b for row in _NEIGHBOURS.split() for a, b in pairwise(row)
}


class Near(NamedTuple):
    """A known word, in how many letters a mistyped one differs from it, and whether by slips."""

    word: str
    slips: int
    likely: bool


class Spelling:
    """Of the `words` known, which of them a mistyped one may be; `eponyms` are persons' names."""

    def __init__(self, words: Iterable[str], eponyms: frozenset[str]):
        self._eponyms = eponyms
        self._words: dict[tuple[str, int], list[str]] = {}
        for word in words:
            if word.isalpha() and len(word) >= LONG - 1:
                self._words.setdefault((word[0], len(word)), []).append(word)

    def near(self, word: str, alone: bool) -> list[Near]:
        """Known words that `word` may be; the first letter is right.

        A person's name is likely only beside other words, not `alone`.
        """
        # The stem of a mistyped word may lack its "s": "dermatiits".
        found = self._within(word) or self._within(f"{word}s")
        return [
            Near(like, slips, not (alone and like in self._eponyms) and _likely(meant, like))
            for meant, like, slips in found
        ]

    def _within(self, word: str) -> list[tuple[str, str, int]]:
        if len(word) < LONG:
            return []
        most = MOST_SLIPS if len(word) >= VERY_LONG else 1
        lengths = range(len(word) - most, len(word) + most + 1)
        near = [w for length in lengths for w in self._words.get((word[0], length), ())]
        found = process.extract(word, near, scorer=OSA.distance, score_cutoff=most, limit=None)
        return [(word, like, int(slips)) for like, slips, _ in found]


def _likely(word: str, like: str) -> bool:
    return _affixes_agree(word, like) and _slips(word, like)


def _affixes_agree(word: str, like: str) -> bool:
    """What the mistyped word has at either end, the other has too."""
    return all(a is None or a == b for a, b in zip(_affixes(word), _affixes(like), strict=True))


def _affixes(word: str) -> tuple[str | None, str | None]:
    prefix, suffix = _PREFIX.match(word), _SUFFIX.search(word)
    ending = suffix and suffix[0].replace("iasis", "osis")
    return prefix and prefix[0], ending


def _slips(word: str, like: str) -> bool:
    """Whether each letter that stands for another is a slip of the finger or of the ear.

    "hepatoma" is no slip for "haematoma". One letter of a longer word may be any.
    """
    distance = OSA.distance(word, like)
    if distance == 2 and word[:3] != like[:3]:
        return False
    changed = [op for op in Levenshtein.editops(word, like) if op.tag == "replace"]
    if distance == 1 and len(word) > LONG + 1:
        return True
    pairs = [word[op.src_pos] + like[op.dest_pos] for op in changed]
    swapped = len(pairs) == 2 and pairs[0] == pairs[1][::-1]
    return swapped or all(pair in _ALIKE or pair[::-1] in _ALIKE for pair in pairs)
