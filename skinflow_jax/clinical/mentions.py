"""Whether a description gives a diagnosis away.

A name or synonym of a disease counts in whole words, whatever its spelling, unless it is in
`PLAIN`; so does that of a class that tells what its kinds share ("eczema"), and no broader one. An
abbreviation counts as the ontology writes it, from three letters on, where it stands for one
disease: "ten" and "AD" do not.
"""

import functools
from collections.abc import Iterator, Mapping

from skinflow_jax.clinical.ontology import Ontology, ontology
from skinflow_jax.clinical.wording import normalise

_PLAIN = """
abscess; albinism; alopecia; angioma; atrophy; bite; blackhead; blister; bruise; bulla; bump;
burn; burrow; callosity; callus; chapped skin; comedo; comedone; contusion; corn; crust;
cutaneous cyst; cutaneous horn; cyanosis; cyst; depigmentation; dermatitis; desquamation; dry
skin; dyschromia; ecchymosis; erosion; eruption; erythema; exanthem; excoriation; exfoliation;
fibrosis; fissure; flushing; granuloma; haematoma; haemorrhage; hair loss; hyperhidrosis;
hyperkeratosis; hyperpigmentation; hypertrichosis; hypopigmentation; induration; inflammation;
itch; itching; itchy skin; keratoderma; keratosis; leukoderma; lichenification; lymphadenopathy;
lymphoedema; maceration; macule; melanosis; necrosis; nodule; oedema; papilloma; papule; patch;
petechia; pimple; plaque; poikiloderma; polyp; pruritus; purpura; pus; pustule; rash; scale;
scar; sclerosis; sinus; skin cyst; skin fragility; skin redness; stretch mark; striae; striae
distensae; sunburn; sweating; swelling; tan; tanning; telangiectases; telangiectasia;
telangiectasis; tick; ulcer; ulceration; vesicle; weal; wheal; white patch; whitehead; wound;
wrinkle; xeroderma; xerosis; xerosis cutis
"""
PLAIN = frozenset(map(normalise, _PLAIN.split(";")))
"""What is also said in plain description: words of look, not of a diagnosis (our choice)."""

_SHORTEST_ABBREVIATION = 3


def mentions_disease(text: str) -> str | None:
    """The canonical name of the first disease that `text` gives away, None where there is none.

    By the ontology in use; linear in the text, and any text is read.
    """
    return next(_mentioned(text, ontology()), None)


def _mentioned(text: str, known: Ontology) -> Iterator[str]:
    names, longest, abbreviations = _wordings(known)
    words = normalise(text).split()
    for start, word in enumerate(words):
        for end in range(min(start + longest.get(word, 0), len(words)), start, -1):
            found = names.get(" ".join(words[start:end]))
            if found:
                yield found
    for token in text.replace("-", " ").split():
        found = abbreviations.get(token.strip("()[],.;:'\"!?/"))
        if found:
            yield found


@functools.lru_cache(maxsize=8)
def _wordings(known: Ontology) -> tuple[Mapping[str, str], Mapping[str, int], Mapping[str, str]]:
    """Wordings with the name they give away, words of the longest by first word, abbreviations."""
    names: dict[str, str] = {}
    longest: dict[str, int] = {}
    abbreviations: dict[str, set[str]] = {}
    for disease in known.diseases.values():
        for short in disease.abbreviations:
            abbreviations.setdefault(short, set()).add(disease.name)
        for name in (disease.name, *disease.synonyms) if disease.told else ():
            words = normalise(name).split()
            if words and " ".join(words) not in PLAIN:
                names[" ".join(words)] = disease.name
                longest[words[0]] = max(len(words), longest.get(words[0], 0))
    told = {
        short: name
        for short, (name, *others) in abbreviations.items()
        if not others and len(short) >= _SHORTEST_ABBREVIATION and known.diseases[name].told
    }
    return names, longest, told
