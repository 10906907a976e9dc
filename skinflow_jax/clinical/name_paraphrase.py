"""Other words for what a diagnosis says: set phrases of registers, and organisms for diseases.

Each is tried only where the text as it stands names nothing, and is then read by the same rules:
words that deny, weaken or list stay where they are.
"""

import functools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skinflow_jax.clinical.name_text import parts
from skinflow_jax.clinical.qualifiers import qualifiers

Words = tuple[str, ...]

_FILE = Path(__file__).with_name("organisms.toml")
_INFECTION = (("infectious", "disease"), ("infection",), ("infestation",))
_LINKS = (("due", "to"), ("caused", "by"), ("by",), ("with",))


@dataclass(frozen=True)
class _Organism:
    """What an infection with it is `called`, and what it is beside the name of a lesion."""

    infection: tuple[Words, ...]
    adjective: tuple[Words, ...]
    said: tuple[Words, ...]
    alone: bool


def paraphrases(said: Sequence[Words]) -> Iterator[tuple[tuple[Words, ...], Words]]:
    """The parts of a text in other words, and what the disease read must be a kind of, if anything.

    None where nothing of it has other words.
    """
    if all(map(_first_words().isdisjoint, said)):
        return
    plain = tuple(filter(None, map(_without_phrases, said)))
    if plain and plain != tuple(said):
        yield plain, ()
    for other, kind in _by_disease(tuple(word for part in plain for word in part)):
        yield (other,), kind


def _without_phrases(part: Words) -> Words:
    """Without "not elsewhere classified" and the like; with the usual one of phrases alike."""
    whole = part
    for word in whole:  # in the order written: the longer phrase begins before the shorter
        for phrase, instead in qualifiers().phrases.get(word, ()):
            part = _replaced(part, phrase, instead)
    while part and part != whole and part[-1] in qualifiers().glue:  # "carbuncle of"
        part = part[:-1]
    return part


def _by_disease(words: Words) -> Iterator[tuple[Words, Words]]:
    """ "Sarcoptes scabiei infestation", "intertrigo due to Candida" with the disease's name."""
    table, first = _organisms()
    for start, word in enumerate(words):
        for size in first.get(word, ()):
            organism = table.get(words[start : start + size])
            if organism:
                yield from _called(words, start, start + size, organism)
                return


def _called(
    words: Words, start: int, end: int, organism: _Organism
) -> Iterator[tuple[Words, Words]]:
    before, after = words[:start], words[end:]
    for link in _LINKS:
        if before[-len(link) :] == link:
            before = before[: -len(link)]
            break
    if not before and not after:
        yield from ((name, ()) for name in organism.infection if organism.alone)
        return
    for said in (*_INFECTION, *organism.said):
        fewer = _replaced(before, said, ()), _replaced(after, said, ())
        if fewer != (before, after):
            yield from ((fewer[0] + name + fewer[1], ()) for name in organism.infection)
            return
    for word in organism.adjective:
        # Without a word for the organism only its own diseases: "HPV wart" is no "HPV molluscum".
        yield before + word + after, () if word else organism.infection[0]


def _replaced(words: Words, phrase: Words, instead: Words) -> Words:
    """`words` with the first `phrase` in them exchanged."""
    for start in range(len(words) - len(phrase) + 1):
        if words[start : start + len(phrase)] == phrase:
            return words[:start] + instead + words[start + len(phrase) :]
    return words


@functools.cache
def _first_words() -> frozenset[str]:
    """Of all phrases and organisms: most texts have none."""
    return frozenset(qualifiers().phrases.keys() | _organisms()[1].keys())


@functools.cache
def _organisms() -> tuple[Mapping[Words, _Organism], Mapping[str, Sequence[int]]]:
    """Organisms by their words, and of each first word the lengths of such names, longest first."""
    table: dict[Words, _Organism] = {}
    for row in tomllib.loads(_FILE.read_text(encoding="utf-8"))["organism"]:
        lists = (tuple(map(_words, row.get(key, ()))) for key in ("infection", "adjective", "said"))
        table |= dict.fromkeys(
            map(_words, row["names"]), _Organism(*lists, row.get("alone", False))
        )
    first: dict[str, set[int]] = {}
    for words in table:
        first.setdefault(words[0], set()).add(len(words))
    return table, {word: sorted(sizes, reverse=True) for word, sizes in first.items()}


def _words(text: str) -> Words:
    return getattr(parts(text), "words", ())
