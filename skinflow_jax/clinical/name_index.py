"""The names of an ontology, to be found whole, in another order, or among qualifiers."""

import functools
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import product
from pathlib import Path

from skinflow_jax.clinical.name_keys import keys_of
from skinflow_jax.clinical.name_letters import Letters
from skinflow_jax.clinical.name_spelling import LONG, MOST_SLIPS, VOWELS, Spelling
from skinflow_jax.clinical.name_text import words_of
from skinflow_jax.clinical.ontology import Ontology
from skinflow_jax.clinical.ontology_disease import Disease
from skinflow_jax.clinical.qualifiers import qualifiers

Found = tuple[Disease, ...]

_CODES = Path(__file__).with_name("icd10.toml")

_MOST_READINGS = 40
"""Of an abbreviation's expansions and of spellings that are tried."""


class NameIndex:
    """Built once for an ontology; each look-up takes the words of `name_text.parts`."""

    def __init__(self, known: Ontology):
        self.qualifiers = qualifiers()
        self.known = known
        self._verbatim: dict[str, Found] = {
            _verbatim(name): (disease,)
            for disease in known.diseases.values()
            for name in _names(disease)
        }
        diseases = known.diseases.values()
        self.letters = Letters(
            (short for disease in diseases for short in disease.abbreviations),
            (name for disease in diseases for name in _names(disease)),
        )
        self._exact: dict[str, Found] = {}
        self._joined: dict[str, Found] = {}
        self._bags: dict[frozenset[str], Found] = {}
        self.abbreviations: dict[str, Found] = {}
        for names in (_names, _abbreviations, _short_forms):
            self._add(names, known)
        plain = self.qualifiers.left_out | self.qualifiers.described
        self._plain: dict[str, list[frozenset[str]]] = {}  # each by one of its words
        for bag, found in self._bags.items():
            if len(bag) > 1 and bag <= plain and found[0].told:
                self._plain.setdefault(min(bag), []).append(bag)
        self._with: dict[str, list[frozenset[str]]] = {}
        for bag in self._bags:
            for word in bag:
                self._with.setdefault(word, []).append(bag)
        table = tomllib.loads(_CODES.read_text(encoding="utf-8"))["codes"]
        self._codes = {
            code: self.exactly(self.letters.words_of(name)) for code, name in table.items()
        }
        self._between = self.qualifiers.left_out | self.qualifiers.articles
        self._longest = max(key.count(" ") + 1 for key in self._exact)
        self._spelling = Spelling(self._with, _eponyms(known))

    def _add(self, names: Callable[[Disease], Iterable[str]], known: Ontology):
        """What one kind of name says first is not said again by the next."""
        new: list[dict] = [{}, {}, {}]
        for disease in known.diseases.values():
            for name in names(disease):
                words = self.letters.words_of(name)
                if names is _abbreviations and self.qualifiers.known(words[0]):
                    continue
                keys = keys_of(words)
                if names is not _names and not _stands_among_others(name, words):
                    keys = keys._replace(unordered=None)
                for table, key in zip(new, keys, strict=True):
                    if key is None:
                        continue
                    found = table.setdefault(key, ())
                    table[key] = found if disease in found else (*found, disease)
        if names is _abbreviations:
            self.abbreviations = {
                word: found for (word, *more), found in new[2].items() if not more
            }
        if names is _short_forms:
            self._short = new[0].keys() - self._exact.keys()
        for table, more in zip((self._exact, self._joined, self._bags), new, strict=True):
            for key, found in more.items():
                table.setdefault(key, found)

    def verbatim(self, text: str) -> Found:
        """What the text names letter by letter: labels with signs that are not read elsewhere."""
        return self._verbatim.get(_verbatim(text), ())

    def exactly(self, words: Sequence[str]) -> Found:
        """What the words name in this order; several diseases of an ambiguous abbreviation."""
        return self._exact.get(" ".join(words), ())

    def named(self, words: Sequence[str]) -> Found:
        """What the words name, in any order, joined or apart, with their qualifiers."""
        found = self.exactly(words)
        if found or not words or self.lists_two(words):
            return found
        found = self._joined_up(words)
        if found:
            return found
        glue = self.qualifiers.glue
        if words[-1] in glue or words[0] in glue - {"the", "in"}:  # "AT naevus": a second name
            return ()
        if self._is_fixed(words):
            return self._in_a_row(words)
        found = self._unordered(words)
        if found or self.qualifiers.elsewhere(words):
            return found
        expanded = list(self._expanded(self._joined_again(words)))
        for look in (self.exactly, self._unordered, self._qualified):
            several = {d.name: d for each in expanded for d in look(each)}
            if several:
                return tuple(several.values())
        return ()

    def _is_fixed(self, words: Sequence[str]) -> bool:
        """Whether the order counts: a word that else refuses, or one that is said twice."""
        refused = self.qualifiers.refused.keys()
        return self.qualifiers.repeats(words) or not refused.isdisjoint(words)

    def _in_a_row(self, words: Sequence[str]) -> Found:
        """A name as it stands among qualifiers: "non-scarring alopecia of the scalp"."""
        for size in range(min(len(words) - 1, self._longest), 1, -1):
            for start in range(len(words) - size + 1):
                found = self.exactly(words[start : start + size])
                if found and self._only_qualified(found, words, start, start + size):
                    return found
        return ()

    def _only_qualified(self, found: Found, words: Sequence[str], start: int, end: int) -> bool:
        """Whether all that stands before and after the name are qualifiers that fit it."""
        groups = self.qualifiers.of(words)
        rest = [*range(start), *range(end, len(words))]
        said = [groups[i] for i in rest if words[i] not in self.qualifiers.glue]
        fits = all(group and all(map(group.fits, found)) for group in said)
        return fits and not self.hidden_names({words[i] for i in rest})

    def _joined_again(self, words: Sequence[str]) -> list[str]:
        """Two words as one where only the two together are a known word: "palmo-plantar"."""
        new: list[str] = []
        for word in words:
            both = new[-1] + word if new else ""
            apart = both and self._is_known(new[-1]) and self._is_known(word)
            if both in self._with and not apart:
                new[-1] = both
            else:
                new.append(word)
        return new

    def _whole(self, words: Sequence[str]) -> Found:
        return self.exactly(words) or self._unordered(words)

    def _joined_up(self, words: Sequence[str]) -> Found:
        """Written together or apart; "a typical naevus" is no "atypical naevus"."""
        sizes = {len(word) == 1 for word in words}
        return self._joined.get("".join(words), ()) if len(sizes) == 1 else ()

    def _unordered(self, words: Sequence[str]) -> Found:
        return self._bags.get(frozenset(words) - self.qualifiers.glue, ())

    def lists_two(self, words: Sequence[str]) -> bool:
        """Whether the words are two names, neither a kind of the other.

        In a row, or with qualifiers between them: "melanoma with naevus", "melanoma, arm naevus".
        """
        last = 0
        for i in range(1, len(words)):
            if words[i - 1] not in self._between:
                last = i
            first = self._answers(words[:i]) or (last < i and self._answers(words[:last]))
            second = first and self._answers(words[i:])
            if first and second and not any(self.akin(a, b) for a in first for b in second):
                return True
        return False

    def _answers(self, words: Sequence[str]) -> list[Disease]:
        if self.is_short(words) or (len(words) == 1 and self.qualifiers.known(words[0])):
            return []
        return [disease for disease in self.exactly(words) if disease.told]

    def hidden_names(self, words: Set[str]) -> list[Set[str]]:
        """Names among the words that only describe elsewhere: "hand-foot syndrome"."""
        return [bag for word in words for bag in self._plain.get(word, ()) if bag <= words]

    def is_short(self, words: Sequence[str]) -> bool:
        """Whether they are read only as the short form of a name: "Reed" of Reed syndrome."""
        return " ".join(words) in self._short

    def coded(self, codes: Sequence[str]) -> Found:
        """What the first of the codes that is tabulated stands for."""
        for code in codes:
            exact = (code, code.removesuffix(".9"))
            sites = (f"{code[:end]}*" for end in range(len(code), 2, -1))
            for key in (*exact, *sites):
                if key in self._codes:
                    return self._codes[key]
        return ()

    def akin(self, a: Disease, b: Disease) -> bool:
        """Whether they are the same, or one is a kind of the other."""
        above = self.known.ancestors
        return a is b or a.name in above(b) or b.name in above(a)

    def _expanded(self, words: Sequence[str]) -> Iterator[Sequence[str]]:
        """The words with an abbreviation among them written out: "oral LP", "nodular BCC"."""
        for i, word in enumerate(words):
            if len(words) > 1 and word in self.abbreviations and not self.qualifiers.known(word):
                for disease in self.abbreviations[word][:_MOST_READINGS]:
                    name = self.letters.words_of(disease.name)
                    yield (*words[:i], *name, *words[i + 1 :])
                return
        yield words

    def _qualified(self, words: Sequence[str]) -> Found:
        """The longest name among the words, where all others are qualifiers that fit it."""
        content = dict(zip(words, self.qualifiers.of(words), strict=True))
        for word in self.qualifiers.glue:
            content.pop(word, None)
        needed = {word for word, group in content.items() if group is None}
        if not needed or not all(word in self._with for word in needed):
            return ()
        hidden = self.hidden_names(content.keys())
        longest, found = 0, set()
        for bag in min((self._with[word] for word in needed), key=len):
            if len(bag) < longest or not (needed <= bag <= content.keys()):
                continue
            if any(not other <= bag for other in hidden):
                continue
            dropped = {content[word] for word in content.keys() - bag}
            fitting = tuple(d for d in self._bags[bag] if all(g.fits(d) for g in dropped))
            if fitting:
                found = {*found, fitting} if len(bag) == longest else {fitting}
                longest = len(bag)
        return found.pop() if len(found) == 1 else ()

    def respelt(self, words: Sequence[str]) -> list[tuple[Found, int, bool]]:
        """What the words name with those unknown replaced by known ones of nearly the same letters.

        Each with its slips and whether all of them are likely ones.
        """
        unknown = [i for i, w in enumerate(words) if not self._is_known(w)]
        if not 1 <= len(unknown) <= MOST_SLIPS:
            return []
        alone = all(i in unknown or self.qualifiers.known(w) for i, w in enumerate(words))
        choices = [self._spelling.near(words[i], alone) for i in unknown]
        spelt = []
        for each in product(*choices):
            slips = sum(near.slips for near in each)
            if slips <= MOST_SLIPS and len(spelt) < _MOST_READINGS:
                new = list(words)
                for i, near in zip(unknown, each, strict=True):
                    new[i] = near.word
                # A qualifier that was mistyped must be part of the name: it is never left out.
                whole = any(self.qualifiers.known(near.word) for near in each)
                found = self._whole(new) if whole else self.named(new)
                spelt.append((found, slips, all(near.likely for near in each)))
        return spelt

    def _is_known(self, word: str) -> bool:
        known = word in self._with or word in self.qualifiers.others or self.qualifiers.known(word)
        return known or not word.isalpha()


@functools.lru_cache(maxsize=8)
def index_of(known: Ontology) -> NameIndex:
    """The index of `known`, built at the first call."""
    return NameIndex(known)


def _stands_among_others(name: str, words: Sequence[str]) -> bool:
    """Whether a short form or abbreviation is read beside other words.

    "Meige disease" is not "Meige syndrome", and "PAIN" and "LENS" are words as well.
    """
    if len(words) > 1:
        return name != name.casefold()
    capitals = sum(letter.isupper() for letter in name)
    return capitals > 1 and (len(name) < 4 or not VOWELS & set(words[0]))


def _verbatim(text: str) -> str:
    spaced = text.casefold().rstrip(" .\r\n\t").replace("_", " ").replace("(", " (")
    return " ".join(spaced.split())


def _names(disease: Disease) -> Sequence[str]:
    return (disease.name, *disease.synonyms)


def _abbreviations(disease: Disease) -> Sequence[str]:
    return disease.abbreviations


def _short_forms(disease: Disease) -> Iterator[str]:
    """An eponym without "disease"; what only skin has without "cutaneous" or "of the skin"."""
    for name in _names(disease):
        words = name.split()
        eponym = all(word[0].isupper() for word in words[:-1])
        if words[-1] in ("disease", "syndrome") and len(words) > (1 if eponym else 4):
            yield " ".join(words[:-1])
        rest = name.removeprefix("primary ").removeprefix("cutaneous ")
        rest = rest.removesuffix(" of skin").removesuffix(" of the skin")
        if rest != name and any(len(word) >= LONG for word in rest.split()):
            yield rest


def _eponyms(known: Ontology) -> frozenset[str]:
    """Words that the ontology writes with a capital."""
    names = (name for disease in known.diseases.values() for name in _names(disease))
    capitals = {word for name in names for word in name.split() if word[0].isupper()}
    return frozenset(word for capital in capitals for word in words_of(capital))
