"""Caption fields that free text of a dermatologist states; what it leaves open stays open.

The rules are ours and lean to silence: a missed field is unknown, a wrong one would be taught.
Sentences that name a disease or weigh a diagnosis say nothing here, words after "no" or "without"
neither, and a word of several meanings counts only beside the noun that settles which. A field with
one value that gets two different ones is left out, unless one lies within the other.
"""

import re
from collections.abc import Iterator

from skinflow_jax.clinical.caption_field import Field
from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.mentions import mentions_disease
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.wording import normalise

_WEIGHED = re.compile(
    r"\b(suggest|suspect|consider|diagnos|possib|likely|probabl|differential|recommend|treat"
    r"|biops|histor|rule out|exclude|may be|might|could|if )",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(not|absent|absence|lacks?|lacking|neither|nor|never|unclear|unknown)\b|n't\b"
)
_FROM_HERE = re.compile(r"\b(no|without|free of|rather than|instead of|unlike)\b.*")
# Every part is bounded, so that a row of digits or of "1x1x1" is read in linear time.
_NUMBER = r"(?<![0-9.])[0-9]{1,5}(?:\.[0-9]{1,5})?"
_MEASURE = re.compile(
    r"(?:(?:under|over|about|approximately|less than|more than|<|>|~) ?)?"
    rf"{_NUMBER}(?: ?(?:mm|cm)?(?: ?(?:x|×|by|to|-|–) ?){_NUMBER}){{0,2}} ?(?:mm|cm)\b"
)
MOST_CHARACTERS_OF_DESCRIPTION = 100_000
# Words that mean other things too: they count in a clause with one of the field's nouns.
_VAGUE = frozenset(
    map(
        normalise,
        {
            *("clear", "sharp", "regular", "distinct", "diffuse", "vague", "even", "irregular"),
            *("linear", "streak", "one", "two", "three", "few", "several", "many", "multiple"),
            *("numerous", "single", "solitary", "isolated", "symmetric", "symmetrical"),
            *("asymmetric", "asymmetrical", "angular", "pale", "flesh", "dark", "circumscribed"),
        },
    )
)
_NOUNS = {
    "border": frozenset({"border", "edge", "margin", "boundary", "outline"}),
    "shape": frozenset({"shape", "shaped"}),
    "surface": frozenset({"surface"}),
    "distribution": frozenset({"distribution", "distributed", "arrangement", "arranged"}),
    "colour": frozenset({"color", "colored"}),
}
_LESION = frozenset({"lesion", "spot", "bump", "rash"})
# "dark brown skin" and "black hair" are the person's.
_OF_THE_PERSON = frozenset({"skin", "hair", "eye", "background"})


def described(text: str, schema: Schema = CLINICAL) -> dict[str, list[str]]:
    """The fields that English free text states, in schema order, each with its canonical values.

    A text of more than `MOST_CHARACTERS_OF_DESCRIPTION` describes no lesion: it has none.
    """
    if len(text) > MOST_CHARACTERS_OF_DESCRIPTION:
        return {}
    found: dict[str, set[str]] = {name: set() for name in schema.fields}
    for sentence in re.split(r"(?<![0-9])[.;!?\n]|[.;!?\n](?![0-9])", text):
        if _WEIGHED.search(sentence) or mentions_disease(sentence):
            continue
        for clause in re.split(r"[,:()]| but | while | whereas ", sentence.casefold()):
            if not _NEGATED.search(clause):
                for name, value in _stated(_FROM_HERE.sub("", clause), schema):
                    found[name].add(value)
    kept = {name: _agreed(schema.fields[name], values) for name, values in found.items()}
    return {name: values for name, values in kept.items() if values}


def _agreed(field: Field, values: set[str]) -> list[str]:
    """In the field's order; none where several are given and one is allowed."""
    if not field.many and len(values) > 1:  # the face and its nose are the nose
        above = {field.parents.get(value) for value in values}
        above |= {field.parents.get(value) for value in above if value}
        values = values - above
    if not field.many and len(values) > 1:
        return []
    return [value for value in field.values if value in values]


def _stated(clause: str, schema: Schema) -> Iterator[tuple[str, str]]:
    words = [word for word in normalise(clause).split() if word != "the"]
    if not words:
        return
    types = schema.fields.get("lesion_type")
    lesions = _LESION | set(types.synonyms if types else ())
    for field in schema.fields.values():
        if field.measure == "mm":
            values = {field.canonical(size) for size in _MEASURE.findall(clause)}
            yield from ((field.name, value) for value in values if value)
            continue
        nouns, reach = _NOUNS.get(field.name, frozenset()), 3
        if field.name == "number":
            nouns, reach = lesions, 5
        for start, end, value in _longest(words, field):
            wording = " ".join(words[start:end])
            others = (f for f in schema.fields.values() if f is not field)
            vague = wording in _VAGUE or any(wording in other.synonyms for other in others)
            settled = nouns & {*words[max(0, start - 3) : start], *words[end : end + reach]}
            of_the_person = field.name == "colour" and _OF_THE_PERSON & {*words[end : end + 1]}
            if not of_the_person and (settled or not vague):
                yield field.name, value


def _longest(words: list[str], field: Field) -> Iterator[tuple[int, int, str]]:
    """Start, end and value of the field's wordings in a row of words; the longest first, once."""
    most = max(len(wording.split()) for wording in field.synonyms)
    start = 0
    while start < len(words):
        for end in range(min(start + most, len(words)), start, -1):
            value = field.synonyms.get(" ".join(words[start:end]))
            if value:
                yield start, end, value
                start = end - 1
                break
        start += 1
