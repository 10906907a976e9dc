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


def normalise(text: str) -> str:
    """Stems separated by one space; empty when the text has no letter or digit (our choice)."""
    return _remembered(text) if len(text) <= _MOST_REMEMBERED else _normalised(text)


def _normalised(text: str) -> str:
    # Character by character: sorting a long row of accents, which go anyway, takes quadratic time.
    decomposed = "".join(unicodedata.normalize("NFKD", c) for c in text.casefold()).casefold()
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    plain = re.sub(r"['’`]s\b", "", plain)
    return " ".join(_stem(word) for word in re.findall(r"[^\W_]+", plain))


_MOST_REMEMBERED = 100
# A run reads the same few thousand names and values again and again.
_remembered = functools.lru_cache(maxsize=1 << 15)(_normalised)


def same_answer(text: str, other: str) -> bool:
    """Whether two answers are the same words: case and white space do not matter, all else does.

    A `text` of more than `MOST_CHARACTERS` is no answer.
    """
    if len(text) > MOST_CHARACTERS:
        return False
    words = text.casefold().split()
    return bool(words) and words == other.casefold().split()


def _stem(word: str) -> str:
    word = re.sub(r"ae$", "a", word)
    word = word.replace("ae", "e").replace("oe", "e")
    word = re.sub(r"(col|tum)our", r"\1or", word)
    return _IRREGULAR.get(word) or _singular(word)


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
