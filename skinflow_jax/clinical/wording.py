"""One spelling for clinical words: case, accents, plural, British or American form do not matter.

The rules run on both sides of every comparison: an odd stem ("herpe") is harmless as long as two
different terms never meet, and the tests of the ontology and of the vocabularies check that.
"""

import functools
import re
import unicodedata

from skinflow_jax.clinical.limits import MOST_CHARACTERS

_IRREGULAR = {
    "comedones": "comedo",
    "dermatitides": "dermatitis",
    "lentigines": "lentigo",
    "nevi": "nevus",
    "grey": "gray",
}


_POSSESSIVE = re.compile(r"['’`]s\b")
_WORD = re.compile(r"[^\W_]+")
_OUR = re.compile(r"(col|tum)our")


def normalise(text: str) -> str:
    """Stems separated by one space; empty when the text has no letter or digit (our choice)."""
    return _remembered(text) if len(text) <= _MOST_REMEMBERED else _normalised(text)


def _normalised(text: str) -> str:
    plain = text.casefold()
    if not plain.isascii():
        # Character by character: sorting a long row of accents, which go, takes quadratic time.
        decomposed = "".join(unicodedata.normalize("NFKD", c) for c in plain).casefold()
        plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(map(_stem_of, _WORD.findall(_POSSESSIVE.sub("", plain))))


_MOST_REMEMBERED = 100
# A run reads the same few thousand names and values again and again.
_remembered = functools.lru_cache(maxsize=1 << 16)(_normalised)


def same_answer(text: str, other: str) -> bool:
    """Whether two answers are the same words: case and white space do not matter, all else does.

    A `text` of more than `MOST_CHARACTERS` is no answer.
    """
    if len(text) > MOST_CHARACTERS:
        return False
    words = text.casefold().split()
    return bool(words) and words == other.casefold().split()


def _stem_of(word: str) -> str:
    return _stem(word) if len(word) <= _MOST_REMEMBERED else _stemmed(word)


def _stemmed(word: str) -> str:
    if word.endswith("ae"):
        word = word[:-1]
    word = _OUR.sub(r"\1or", word.replace("ae", "e").replace("oe", "e"))
    return _IRREGULAR.get(word) or _singular(word)


_stem = functools.lru_cache(maxsize=1 << 14)(_stemmed)


def _singular(word: str) -> str:
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("mata"):
        return word[:-2]
    if word.endswith("oses"):
        return word[:-2] + "is"
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word.removesuffix("s")
