"""An owner's label as a name of the ontology, where it knows the disease."""

import re
from collections.abc import Iterator

from skinflow_jax.clinical.ontology import find

# Wordings of registries that no rule below leads to a name.
_WORDINGS = {
    "pigmented benign keratosis": "benign keratosis",
    "angiosarcoma cutaneous": "angiosarcoma",
    "paget disease, extra-mammary": "extramammary Paget disease",
    "cafe au lait macule or patch": "café-au-lait macule",
    "vascular spider": "telangiectasia",
    "lentigo nos": "lentigo",
}


def known_name(label: str) -> str:
    """The canonical name of what `label` names, "" where the ontology does not know it.

    Registries write the kind after its class ("Nevus, Spitz", "Melanoma, NOS") and name a class
    with its example ("Malignant melanocytic proliferations (Melanoma)"). The most specific
    reading that is known counts.
    """
    for reading in _readings(label):
        found = find(reading)
        if found is not None:
            return found.name
    return ""


def canonical_name(label: str) -> str:
    """The name in the ontology, or else the label as its owner writes it, spaces as one."""
    return known_name(label) or " ".join(label.split())


def _readings(label: str) -> Iterator[str]:
    yield label
    plain = re.sub(r", (NOS|Other|not otherwise specified)\b", "", label)
    plain = plain.replace(" Invasive", "")
    yield _WORDINGS.get(plain.casefold(), plain)
    head, comma, kind = plain.partition(", ")
    if comma:
        for each in (kind, *re.split(r", (?:or )?| or ", kind)):
            yield f"{each} {head}"
        yield head
    yield plain.rpartition(" or ")[2]
    outside, bracket, inside = plain.partition("(")
    if bracket:
        yield outside
        yield inside.rstrip(") ")
