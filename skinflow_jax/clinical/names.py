"""A diagnosis as people write it → the disease of the ontology that it names.

What is read and what is refused: docs/names.md. Every word of a text must be accounted for, as part
of a name or as a qualifier that makes no other disease of it: an unlisted word refuses the text.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skinflow_jax.clinical.name_index import Found, NameIndex, index_of
from skinflow_jax.clinical.name_paraphrase import paraphrases
from skinflow_jax.clinical.name_text import MOST_CHARACTERS, Parts, Unread, parts
from skinflow_jax.clinical.ontology import Ontology, ontology
from skinflow_jax.clinical.ontology_disease import Disease

Words = tuple[str, ...]

_REMEMBERED = 100_000


@dataclass(frozen=True, eq=False)
class Reading:
    """What a text names.

    `diseases`: one; several for an ambiguous abbreviation or short form, each of which it may
    stand for; none where it is not read, and `unread` says why. `words`: the text's words in one
    spelling; two texts of equal words say the same.
    """

    diseases: tuple[Disease, ...]
    unread: Unread | None
    words: tuple[str, ...]
    _known: Ontology

    @property
    def disease(self) -> Disease | None:
        """The disease, None where it is not read or ambiguous."""
        return self.diseases[0] if len(self.diseases) == 1 else None

    def fitting(self, truth: Disease) -> Disease | None:
        """The disease meant where `truth` is the true one.

        Of several that one which is `truth`, or else the only one that is a kind of it or of which
        it is a kind; None where there is no such one.
        """
        if len(self.diseases) < 2:
            return self.disease
        if truth in self.diseases:
            return truth
        akin = [d for d in self.diseases if index_of(self._known).akin(d, truth)]
        return akin[0] if len(akin) == 1 else None


def find(text: str, known: Ontology | None = None) -> Disease | None:
    """The disease or class that `text` names in `known`, by default the ontology in use.

    None where it names none or several.
    """
    return read_name(text, known or ontology()).disease


def read_name(text: str, known: Ontology) -> Reading:
    """The reading of `text` as a diagnosis of `known`. Never raises; linear in the text."""
    return _remembered(text, known) if len(text) <= MOST_CHARACTERS else _read(text, known)


def _read(text: str, known: Ontology) -> Reading:
    found, index = parts(text), index_of(known)
    diseases = index.verbatim(text) if len(text) <= MOST_CHARACTERS else ()
    if isinstance(found, Unread):
        return Reading(diseases, None if diseases else found, (), known)
    letters = index.letters.written(found.words, text)
    if letters:
        said = (tuple(letters.get(word, word) for word in part) for part in found.parts)
        found = Parts(tuple(said), found.codes)
    diseases = diseases or _diseases(found, index)
    if isinstance(diseases, Unread):
        return Reading((), diseases, found.words, known)
    return Reading(diseases, None, found.words, known)


_remembered = functools.lru_cache(maxsize=_REMEMBERED)(_read)


def _diseases(found: Parts, index: NameIndex) -> Found | Unread:
    coded = index.coded(found.codes)
    if not found.parts:
        return coded or Unread.UNKNOWN
    diseases = _of_parts(found.parts, index)
    if not diseases:
        diseases = (
            _in_other_words(found.parts, index)
            or _refused(found.words, index)
            or _mistyped(found.words, index)
        )
    if coded and not isinstance(diseases, Unread):
        same = any(index.akin(a, b) for a in coded for b in diseases)
        return diseases if same else Unread.SEVERAL
    return diseases


def _in_other_words(said: Sequence[Words], index: NameIndex) -> Found:
    """Of organisms without a word for it only what is akin to the `kind` of their infections."""
    for other, kind in paraphrases(said):
        found = _of_parts(other, index)
        if found and not isinstance(found, Unread):
            above = index.named(kind)
            if not kind or all(any(index.akin(d, a) for a in above) for d in found):
                return found
    return ()


def _of_parts(parts: Sequence[Words], index: NameIndex) -> Found | Unread:
    if len(parts) == 1:
        return index.named(parts[0])
    if any(index.qualifiers.glue.issuperset(part) for part in parts):
        return Unread.UNKNOWN
    named = {part: index.named(part) for part in parts}
    named = {part: found for part, found in named.items() if _names_one(part, found, index)}
    initials = {_initials(part, index) for part, diseases in named.items() if len(diseases) == 1}
    kept = [p for p in parts if len(p) > 1 or len(p[0]) < 2 or p[0] not in initials]
    if len(kept) < len(parts):
        return _of_parts(kept, index)
    if len(named) > 1:
        return _of_several(parts, named, index)
    whole = index.named([word for part in parts for word in part]) or _alternatives(parts, index)
    if whole or not named:
        return whole
    return _described(parts, *named.items(), index)


def _described(parts: Sequence[Words], name: tuple[Words, Found], index: NameIndex) -> Found:
    """A name with its description in other parts: "white patch (vitiligo)"."""
    part, diseases = name
    others = [other for other in parts if other != part]
    describe = index.qualifiers.describe
    fits = all(describe(other, disease) for other in others for disease in diseases)
    words = {word for part in parts for word in part}
    return diseases if fits and not index.hidden_names(words) else ()


def _names_one(part: Words, found: Found, index: NameIndex) -> bool:
    """Whether a part says more than where it is, or what it looks like."""
    if any(disease.told for disease in found):
        return len(part) > 1 or not index.qualifiers.all_known(part)
    return bool(found) and not index.qualifiers.describe(part)


def _initials(words: Words, index: NameIndex) -> str:
    return "".join(word[0] for word in words if word not in index.qualifiers.glue)


def _of_several(
    parts: Sequence[Words], named: Mapping[Words, Found], index: NameIndex
) -> Found | Unread:
    """Parts that name diseases must name the same one, or one and its class by the same words."""
    whole = [word for part in parts for word in part]
    first, *others = named.values()
    common = [d for d in first if all(d in diseases for diseases in others)]
    if common:
        # A name says what an abbreviation stands for, "AK (actinic keratosis)"; another one does
        # not: "SK/AK" are two.
        names = any(len(part) > 1 or part[0] not in index.abbreviations for part in named)
        if not names and any(len(diseases) > 1 for diseases in named.values()):
            return Unread.SEVERAL
        longest = max(named, key=len)
        rest = [word for part in parts if part == longest or part not in named for word in part]
        return _only(index.named(rest), common, index) or Unread.UNKNOWN
    diseases = index.named(whole) or _alternatives(parts, index)
    full = [found for part, found in named.items() if not index.is_short(part)]
    if len(diseases) == 1 and (
        len(full) < 2 or all(_above(found, diseases[0], index) for found in full)
    ):
        return diseases
    return _beside_its_class(parts, named, index) or Unread.SEVERAL


def _beside_its_class(
    parts: Sequence[Words], named: Mapping[Words, Found], index: NameIndex
) -> Found:
    """ "mycosis fungoides (CTCL)": beside one disease, a class of it that is no answer."""
    narrow = [item for item in named.items() if any(d.answerable for d in item[1])]
    if len(narrow) != 1 or len(narrow[0][1]) != 1:
        return ()
    part, (disease,) = narrow[0]
    if not all(_above(found, disease, index) for found in named.values()):
        return ()
    apart = [p for p in parts if p not in named or p == part]
    return _described(apart, narrow[0], index)


def _alternatives(parts: Sequence[Words], index: NameIndex) -> Found:
    """ "actinic (solar) keratosis", "seborrhoeic/senile keratosis": both ways the same disease."""
    if len(parts) == 3:
        first, second, rest = parts
    elif len(parts) == 2:
        first, size = parts[0], len(parts[0])
        second, rest = parts[1][:size], parts[1][size:]
    else:
        return ()
    one, other = index.named((*first, *rest)), index.named((*second, *rest))
    return one if rest and one == other else ()


def _only(diseases: Found, common: Sequence[Disease], index: NameIndex) -> Found:
    """Of `diseases` those in `common`; a qualifier in another part may have made one narrower."""
    return tuple(d for d in diseases if any(d is c or _above((c,), d, index) for c in common))


def _above(diseases: Found, lower: Disease, index: NameIndex) -> bool:
    return any(d is lower or d.name in index.known.ancestors(lower) for d in diseases)


def _refused(words: Sequence[str], index: NameIndex) -> Unread | None:
    reasons = [index.qualifiers.refused[w] for w in words if w in index.qualifiers.refused]
    if reasons:
        return reasons[0]
    joined = any(word in index.qualifiers.joins for word in words)
    return Unread.SEVERAL if joined or index.lists_two(words) else None


def _mistyped(words: Sequence[str], index: NameIndex) -> Found | Unread:
    """Read only where no other disease is as near, nor by slips as likely."""
    found = index.respelt(words)
    fewest = min((slips for diseases, slips, likely in found if diseases and likely), default=0)
    near = [diseases for diseases, slips, likely in found if likely or slips <= fewest]
    names = {d.name: d for diseases in near for d in diseases}
    if not fewest:
        return Unread.UNKNOWN
    return tuple(names.values()) if len(names) == 1 else Unread.AMBIGUOUS
