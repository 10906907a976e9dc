"""Words that a diagnosis may carry without becoming another, from `qualifiers.toml`."""

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skinflow_jax.clinical.name_text import Unread, parts
from skinflow_jax.clinical.ontology_disease import Disease

_FILE = Path(__file__).with_name("qualifiers.toml")
_OTHERS = Path(__file__).with_name("other_words.txt")
# "stage 2", "grade IIa"; Clark level I, stage 0 and Tis are in situ, which is another disease.
_NUMERALS = {
    "stage": re.compile(r"(?:[1-5]|i{1,3}|iv|v)[abcd]?"),
    "thickness": re.compile(r"\d\d?|mm"),
}
_TNM = re.compile(r"[cp]?t[1-4][abcd]?|[cp]?n0|[cp]?m0")


@dataclass(frozen=True)
class Group:
    """Qualifiers of a kind, and of which diseases they may be said; of all where that is empty."""

    name: str
    nature: tuple[str, ...] = ()
    infection: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()

    def fits(self, disease: Disease) -> bool:
        """Whether `disease` with such a word is still `disease`."""
        asked = (
            (self.nature, disease.nature),
            (self.infection, disease.infection),
            (self.partition, disease.partition),
        )
        return all(not words or word in words for words, word in asked)


@dataclass(frozen=True)
class Qualifiers:
    """`groups` by word; `glue` says nothing, `joins` joins two of a group, `refused` why.

    `phrases`, by their first word, say nothing or the same as other words; `organs` are phrases of
    places other than skin; `contrary`, by word, a kind of words and which of them; `described`
    words that may stand in a part apart
    from the name; `others` are words of medicine that are no slip for a word of ours.
    """

    groups: Mapping[str, Group]
    glue: frozenset[str]
    joins: frozenset[str]
    articles: frozenset[str]
    refused: Mapping[str, Unread]
    organs: tuple[str, ...]
    described: frozenset[str]
    others: frozenset[str]
    phrases: Mapping[str, Sequence[tuple[tuple[str, ...], tuple[str, ...]]]]
    contrary: Mapping[str, tuple[str, int]]

    def __post_init__(self):
        groups, glue = self.groups.keys(), self.glue | self.joins
        object.__setattr__(self, "words", groups | glue | self.articles | self.refused.keys())
        object.__setattr__(self, "left_out", groups | glue)
        object.__setattr__(self, "plain", glue | self.described)

    def known(self, word: str) -> bool:
        """Whether the word is in the file: never a mistyped one."""
        return word in self.words

    def all_known(self, words: Iterable[str]) -> bool:
        """Whether they are nothing but qualifiers."""
        return self.left_out.issuperset(words)

    def repeats(self, words: Sequence[str]) -> bool:
        """Whether one that may not be left out is said twice."""
        once = [word for word in words if word not in self.left_out]
        return len({*once}) < len(once)

    def of(self, words: Sequence[str]) -> list[Group | None]:
        """The group of each word, None where it may not be left out."""
        found = [self.groups.get(word) for word in words]
        for i, word in enumerate(words):
            if word in self.joins and 0 < i < len(words) - 1 and found[i - 1] is found[i + 1]:
                found[i] = found[i - 1]
            elif word in self.articles and (i == 0 or words[i - 1] in self.glue):
                found[i] = self.groups.get("skin")
            elif _TNM.fullmatch(word):
                found[i] = self.groups.get("malignant")
            elif i and found[i - 1] and found[i] is None:
                numeral = _NUMERALS.get(found[i - 1].name)
                found[i] = found[i - 1] if numeral and numeral.fullmatch(word) else None
        return found

    def elsewhere(self, words: Sequence[str]) -> bool:
        """Whether they name a place that is not skin: "head and neck" is the throat's."""
        text = f" {' '.join(words)} "
        return any(organ in text for organ in self.organs)

    def describe(self, words: Sequence[str], disease: Disease | None = None) -> bool:
        """Whether the words only describe, and `disease` if given: "white patch of the mouth"."""
        groups = [self.groups.get(word) for word in words if word not in self.plain]
        return all(group and (disease is None or group.fits(disease)) for group in groups)


@functools.cache
def qualifiers() -> Qualifiers:
    """Those of the file."""
    table = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    groups = {}
    for row in table["group"]:
        said_of = {
            key: tuple(row[key]) for key in ("nature", "infection", "partition") if key in row
        }
        group = Group(row["name"], **said_of)
        groups |= dict.fromkeys(_stems(row["words"]), group)
    reasons = {reason.name.casefold(): reason for reason in Unread}
    refused = {
        word: reasons[kind] for kind, words in table["refused"].items() for word in _stems(words)
    }
    sets = [frozenset(_stems(table[key])) for key in ("glue", "joins", "articles", "described")]
    organs = tuple(f" {' '.join(_stems([organ]))} " for organ in table["organs"])
    others = _OTHERS.read_text(encoding="utf-8").split()
    contrary = {
        word: (kind, number)
        for kind, rows in table["contrary"].items()
        for number, words in enumerate(rows)
        for word in _stems(words)
    }
    phrases: dict[str, list] = {}
    for phrase, same in table["phrases"].items():
        words = tuple(_stems([phrase]))
        phrases.setdefault(words[0], []).append((words, tuple(_stems([same]))))
    return Qualifiers(
        groups, *sets[:3], refused, organs, sets[3], frozenset(others), phrases, contrary
    )


def _stems(words: Sequence[str]) -> list[str]:
    """As a text's words are spelt, so that plurals and both spellings of English count."""
    stems = [parts(word) for word in words]
    return [stem for found in stems for stem in getattr(found, "words", ())]
