"""The text of one diagnosis → its words in parts, or why it is not read.

Nothing is skipped: each character is a Latin letter, a digit or one of a few signs at a place where
it says nothing. A sign that may deny or weaken what stands beside it refuses the whole text.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from skinflow_jax.clinical.wording import normalise

MOST_CHARACTERS = 200
"""Longer than any name with its site, side and stage: refused unread."""


class Unread(StrEnum):
    """Why a text names no disease."""

    EMPTY = "empty"
    TOO_LONG = "too long"
    UNKNOWN_SIGN = "unknown sign"
    NEGATED = "negated"
    HEDGED = "hedged"
    SEVERAL = "several diseases"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Parts:
    """`parts` are the words between commas, brackets and the like; `codes` those of ICD-10."""

    parts: tuple[tuple[str, ...], ...]
    codes: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """All words in the order written."""
        return tuple(word for part in self.parts for word in part)


_REASONS = {
    **dict.fromkeys("!¬≠~✗✘✕✖❌⊘∅−\u0335\u0336\u0337\u0338", Unread.NEGATED),
    **dict.fromkeys("?¿±≈", Unread.HEDGED),
    **dict.fromkeys("+|•", Unread.SEVERAL),
}
_SAME = str.maketrans(
    {**dict.fromkeys("‐‑–", "-"), **dict.fromkeys("’‘´`ʼ", "'"), **dict.fromkeys("“”„", '"')}
    | {"\u00a0": " ", "ß": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o"}
    | dict.fromkeys("\n\r\t", ";")
)
_TOKEN = re.compile(
    r"(?P<icd>ICD[- ]?1[01](?:[- ]CM)?\b)"
    r"|(?P<code>\b[A-Z]\d[\dA](?:\.[\dA-Z]{1,4})?\b(?!'))"
    r"|(?P<initials>\b(?:[A-Za-z]\.){2,})"
    r"|(?P<word>\d+[.,]\d+|[A-Za-z0-9]+(?:'[A-Za-z]*)?)"
    r"|(?P<sign>.)",
    re.ASCII | re.DOTALL,
)
_GENUS = re.compile(r"[A-Z]")  # "T. rubrum"
_PLAIN = re.compile(r"[A-Za-z ]+")


def parts(text: str) -> Parts | Unread:
    """The words of `text`, spelt alike whatever its case, accents, plural or nation."""
    if len(text) > MOST_CHARACTERS:
        return Unread.TOO_LONG if text.strip() else Unread.EMPTY
    text = text.strip(" \t\r\n")
    if len(text) > 2 and text[0] in "\"“'„" and text[-1] in "\"”'“":
        text = text[1:-1].strip(" ")
    if not any(map(str.isalnum, text)):
        return Unread.EMPTY
    if _PLAIN.fullmatch(text):
        return Parts((_words(text.split()),))
    folded = text if text.isascii() else _latin(text)
    if isinstance(folded, Unread):
        return folded
    return _Reader(folded.translate(_SAME)).read()


def _latin(text: str) -> str | Unread:
    """Without accents. A letter of another script may look like one of ours: an unknown sign."""
    plain = []
    for c in unicodedata.normalize("NFC", text).translate(_SAME):
        base, *marks = c if c.isascii() else unicodedata.normalize("NFD", c)
        if not base.isascii() or not all(map(unicodedata.combining, marks)):
            return _REASONS.get(c) or _REASONS.get(base, Unread.UNKNOWN_SIGN)
        if marks and not base.isalpha():
            return Unread.NEGATED
        plain.append(base)
    return "".join(plain)


class _Reader:
    """One pass over the tokens of a text without accents."""

    def __init__(self, text: str):
        self.text = text
        self.done: list[tuple[str, ...]] = []
        self.codes: list[str] = []
        self.part: list[str] = []
        self.held = False  # whether the part says anything, be it only a code
        self.bracket = ""

    def read(self) -> Parts | Unread:
        for token in _TOKEN.finditer(self.text):
            kind, said = token.lastgroup, token[0]
            if kind == "sign":
                refused = said != " " and self._sign(said, *token.span())
                if refused:
                    return refused
                continue
            self.held = True
            if kind == "code" and ("." in said or not self.part):
                self.codes.append(said)
            elif kind == "initials":
                self.part.append(said.replace(".", ""))
            elif kind != "icd":
                self.part.append(said)
        if self.bracket or self.text[-1] in "/:":
            return Unread.UNKNOWN_SIGN
        self._close()
        return Parts(tuple(part for part in self.done if part), tuple(self.codes))

    def _close(self):
        if self.part:
            self.done.append(_words(self.part))
        self.part, self.held = [], False

    def _sign(self, sign: str, start: int, end: int) -> Unread | None:
        before, after = self.text[start - 1 : start], self.text[end : end + 1]
        if sign == "&":
            self.part.append("and")
        elif sign == "_":
            return None
        elif sign == "-":
            if before.isalnum() and after.isalnum():
                return None
            if not self.held or after not in (" ", "("):  # "nodular-melanoma-(nm)"
                return Unread.NEGATED
            self._close()
        elif sign in "([":
            if self.bracket:
                return Unread.UNKNOWN_SIGN
            self.bracket = ")" if sign == "(" else "]"
            self._close()
        elif sign in ".,;:/)]":
            return self._end_of_part(sign, before, self.text[end : end + 2].lstrip())
        else:
            return _REASONS.get(sign, Unread.UNKNOWN_SIGN)
        return None

    def _end_of_part(self, sign: str, before: str, after: str) -> Unread | None:
        if sign == "." and self.part and _GENUS.fullmatch(self.part[-1]) and after.islower():
            return None
        after_bracket = before in (")", "]") and sign not in ")]"
        if not (self.held or after_bracket):
            return Unread.UNKNOWN_SIGN
        if sign in ")]":
            if sign != self.bracket:
                return Unread.UNKNOWN_SIGN
            self.bracket = ""
        self._close()
        return None


def _words(written: list[str]) -> tuple[str, ...]:
    stems = [stem for word in written for stem in _stems(word)]
    for i in range(1, len(stems)):
        if stems[i] == "i" and stems[i - 1] == "type":
            stems[i] = "1"
    return tuple(stems)


# Beyond what `normalise` makes alike, which the caption's vocabulary shares.
_SAME_WORDS = {
    **{"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8"},
    **{"cutaneous": "skin", "neoplasm": "tumor", "angiitis": "vasculitis", "mole": "nevus"},
    **{"feet": "foot", "pediatric": "childhood"},
    **{"monilia": "candida", "moniliasis": "candidiasis", "candidosis": "candidiasis"},
    **{"cicatricial": "scarring", "blistering": "bullous", "wooly": "woolly"},
}
_SPELLINGS = (
    (re.compile(r"(?<=[it])ases$"), "asis"),
    (re.compile(r"itides$"), "itis"),
    (re.compile(r"tre$"), "ter"),
    (re.compile(r"iz(?=(e|ed|ing|ation)$)"), "is"),
    (re.compile(r"^leuco"), "leuko"),
    (re.compile(r"ical$"), "ic"),
    (re.compile(r"^toes?$"), "digit"),  # "toe" would be taken for "te", as "oedema" for "edema"
)


@functools.lru_cache(maxsize=20_000)
def _stems(word: str) -> tuple[str, ...]:
    lower = word.casefold()
    for pattern, spelling in _SPELLINGS:
        lower = pattern.sub(spelling, lower)
    return tuple(_SAME_WORDS.get(stem, stem) for stem in normalise(lower).split())


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name of the ontology, whatever signs it has."""
    found = parts(name)
    return found.words if isinstance(found, Parts) and not found.codes else _any_words(name)


def has_other_letters(name: str) -> bool:
    """Whether `words_of` leaves out letters of another script."""
    return not name.isascii() and any(c.isalpha() and isinstance(_latin(c), Unread) for c in name)


def _any_words(name: str) -> tuple[str, ...]:
    return tuple(w for each in normalise(name).split() for w in getattr(parts(each), "words", ()))
