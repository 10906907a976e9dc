"""Columns and facts that give the diagnosis away: they never reach a prompt.

A model that is told how a lesion was confirmed, how it was treated or where its picture was found
need not look at it. What a user's reward asks for may hold all of this (`Case.columns`); what a
model reads may not.
"""

from collections.abc import Mapping
from typing import Any

_ISIC = frozenset(
    {
        *("benign_malignant", "diagnosis", *(f"diagnosis_{level}" for level in range(1, 6))),
        *("diagnosis_confirm_type", "concomitant_biopsy", "melanocytic"),
        *("mel_class", "mel_mitotic_index", "mel_thick_mm", "mel_type", "mel_ulcer", "nevus_type"),
    }
)
_ONE_HOT = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")

LEAKS: Mapping[str, frozenset[str]] = {
    "fitzpatrick17k": frozenset(
        {
            *("md5hash", "label", "nine_partition_label", "three_partition_label", "qc"),
            *("url", "url_alphanum", "disease", "skincap_caption"),
        }
    ),
    "pad_ufes_20": frozenset({"diagnostic", "biopsed"}),
    "ham10000": frozenset({"dx", "dx_type"}),
    "isic": _ISIC,
    "bcn20000": _ISIC | {"bcn_filename"},
    "milk10k": frozenset({*_ONE_HOT, "diagnosis_full", "diagnosis_confirm_type"}),
    "ddi": frozenset({"malignant", "disease"}),
    "scin": frozenset(
        {
            "dermatologist_skin_condition_on_label_name",
            "dermatologist_skin_condition_confidence",
            "dermatologist_skin_condition_label_name",
            "weighted_skin_condition_label",
            "related_category",  # "ACNE", as the person calls it
        }
    ),
    "derm7pt": frozenset(
        {
            *("diagnosis", "seven_point_score", "level_of_diagnostic_difficulty"),
            *("management", "notes", "clinic", "derm", "case_id"),
        }
    ),
    "derm1m": frozenset(
        {
            *("filename", "caption", "truncated_caption", "disease_label"),
            *("hierarchical_disease_label", "symptoms", "source", "source_type"),
        }
    ),
}
"""Of each source, the columns of `Case.columns` that tell the diagnosis or most of it."""

TELLING_FACTS = frozenset({"nine_partition", "three_partition", "malignancy", "quality", "licence"})
"""The entries of `Case.attributes` that follow from the diagnosis, or from who collected it."""


def harmless_columns(source: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a case of `source` that a prompt may hold; none of a source that is not known.

    Of a table of the user's own nobody here can tell.
    """
    if source not in LEAKS:
        return {}
    return {name: value for name, value in columns.items() if name not in LEAKS[source]}


def harmless_facts(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a case that a prompt may hold."""
    return {name: value for name, value in attributes.items() if name not in TELLING_FACTS}
