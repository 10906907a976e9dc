"""What tables know of a patient and a site, in the words that subgroups and captions use."""

from typing import Any

from skinflow_jax.clinical.caption_schema import canonical
from skinflow_jax.data.sources.case import Caption
from skinflow_jax.data.sources.table_row import TableRow

_SEXES = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female"}
# Sites of the archives that the caption's vocabulary has no word for, and the region they lie in.
_REGIONS = {
    "head/neck": "head",
    "head or neck": "head",
    "back of hand": "hand",
    "head neck": "head",
    "head neck face": "head",
    "anterior torso": "trunk",
    "lateral torso": "trunk",
    "posterior torso": "back",
    "torso front": "trunk",
    "torso back": "back",
    "upper limbs": "upper limb",
    "lower limbs": "lower limb",
    "foot sole": "foot",
    "foot top or side": "foot",
}


def known(**facts: Any) -> dict[str, Any]:
    """The facts that are known: neither None nor ""."""
    return {name: value for name, value in facts.items() if value not in (None, "")}


def age(row: TableRow, column: str) -> int | None:
    """Whole years; raises InputError outside 0 to 120."""
    years = row.number(column, 0, 120)
    return None if years is None else int(years)


def sex(row: TableRow, column: str) -> str:
    """ "male" or "female"; another word as it stands, "" where it is not known."""
    word = row.text(column).casefold()
    return _SEXES.get(word, word)


def skin_type(row: TableRow, column: str) -> int | None:
    """Fitzpatrick's type, 1 to 6, as "3", "III", "FST3" or "type 3"; None where it is not known.

    Raises InputError for anything else; Fitzpatrick17k's −1 means not known.
    """
    text = row.text(column).upper()
    for word in ("FST", "TYPE", "NONE_SELECTED"):
        text = text.replace(word, "").strip()
    if text in ("", "-1", "-1.0"):
        return None
    found = {**_ROMAN, **{f"{n}": n for n in range(1, 7)}}.get(text.removesuffix(".0"))
    if found is None:
        raise row.wrong(column, "a skin type from 1 to 6 or nothing")
    return found


_ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6}


def location(site: str) -> str:
    """The caption's word for where a lesion is, "" where its vocabulary has none."""
    plain = " ".join(site.casefold().replace("_", " ").split())
    return canonical("location", plain) or _REGIONS.get(plain, "")


def size(millimetres: float | None) -> str:
    """The caption's word for a diameter, "" where it is not known (0 means not measured)."""
    return (canonical("size", f"{millimetres:.2f} mm") or "") if millimetres else ""


def caption_of(concepts: list[str]) -> Caption:
    """The caption fields that some plain words of description state, such as SkinCon's concepts.

    "Brown(Hyperpigmentation)" and "Warty/Papillomatous" are two wordings of one thing. A word that
    the vocabulary lacks is left out.
    """
    found: dict[str, list[str]] = {}
    for concept in concepts:
        for wording in concept.replace("(", "/").replace(")", "").split("/"):
            for field in ("lesion_type", "colour", "surface"):  # of which a case may have several
                value = canonical(field, wording.strip())
                if value and value not in found.setdefault(field, []):
                    found[field].append(value)
    return {
        field: values[0] if len(values) == 1 else values
        for field, values in found.items()
        if values
    }
