"""Abbreviations letter by letter: "POEMS" is not "PEM", and "hivs" is a slip for hives."""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from rapidfuzz import process
from rapidfuzz.distance import OSA

from skinflow_jax.clinical.name_text import words_of
from skinflow_jax.clinical.qualifiers import qualifiers

_TOKEN = re.compile(r"(?:[A-Za-z]\.){2,}|[A-Za-z0-9]+")
_NEAR = range(3, 7)
"""Letters of the words for which an abbreviation with an s may be a slip."""


_stems = functools.lru_cache(maxsize=8192)(words_of)


class Letters:
    """The `abbreviations` of an ontology, and those that are words of its `names`."""

    def __init__(self, abbreviations: Iterable[str], names: Iterable[str]):
        self._written = {short.casefold() for short in abbreviations if short.isalnum()}
        tokens = {token for name in names for token in _TOKEN.findall(name)}
        small = {token.casefold() for token in tokens if not token.isupper()}
        self._in_names = {t.casefold() for t in tokens if t.isupper() and len(t) > 1} - small
        self._stems = {
            stem
            for short in self._written | self._in_names
            for each in (short, f"{short}s")
            for stem in words_of(each)
        } - qualifiers().words
        self._words = {stem for token in small for stem in words_of(token)}
        self._short = sorted(word for word in self._words if len(word) in _NEAR)

    def words_of(self, name: str) -> tuple[str, ...]:
        """The words of a name of the ontology, its abbreviations letter by letter."""
        words = words_of(name)
        letters = self.written(words, name)
        return tuple(letters.get(word, word) for word in words) if letters else words

    def written(self, words: Sequence[str], text: str) -> Mapping[str, str]:
        """Of the `words` of `text` those that are to be read by the letters written.

        A plural's s goes ("AKs"), in small letters only where that is no slip for another word.
        What is spelt as no abbreviation is, gets capitals, which no word has.
        """
        if self._stems.isdisjoint(words):
            return {}
        letters: dict[str, str] = {}
        for token in _TOKEN.findall(text):
            stems = _stems(token)
            if len(stems) == 1 and stems[0] in self._stems:
                short = self._read(token.replace(".", ""), stems[0], alone=len(words) == 1)
                if short != stems[0]:
                    letters[stems[0]] = short
        return letters

    def _read(self, token: str, stem: str, alone: bool) -> str:
        short = token.casefold()
        if stem in self._words and not (alone and short in self._written):
            return stem
        readings = (short, short.removesuffix("s"))
        plural = token.endswith("s") and token[:-1].isupper()  # "NBCCs" is not "NBCCS"
        for each in reversed(readings) if plural else readings:
            if each in self._written or each in self._in_names:
                if each != short and token.islower() and self._is_slip(short):
                    break
                return each
        return token.upper()

    def _is_slip(self, word: str) -> bool:
        return bool(process.extractOne(word, self._short, scorer=OSA.distance, score_cutoff=1))
