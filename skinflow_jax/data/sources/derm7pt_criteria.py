"""What the seven-point criteria of Derm7pt say in the schema "dermoscopy".

Kawahara et al., "Seven-point checklist and skin lesion classification using multitask multimodal
neural nets", IEEE JBHI 2019: the columns and their labels. The mapping is ours. "absent" states no
structure; a label that is not in the table is refused, since it would be lost without a word.
"""

from skinflow_jax.data.sources.case import Caption
from skinflow_jax.data.sources.table_row import TableRow

FIELD = "dermoscopic_structures"
_NONE: tuple[str, ...] = ()

CRITERIA: dict[str, dict[str, tuple[str, ...]]] = {
    "pigment_network": {
        "absent": _NONE,
        "typical": ("typical pigment network",),
        "atypical": ("atypical pigment network",),
    },
    "streaks": {
        "absent": _NONE,
        "regular": ("regular streaks",),
        "irregular": ("irregular streaks",),
    },
    "pigmentation": {
        "absent": _NONE,
        "diffuse regular": ("regular pigmentation",),
        "localized regular": ("regular pigmentation",),
        "diffuse irregular": ("irregular pigmentation",),
        "localized irregular": ("irregular pigmentation",),
    },
    "regression_structures": {
        "absent": _NONE,
        "blue areas": ("blue regression areas",),
        "white areas": ("white regression areas",),
        "combinations": ("blue regression areas", "white regression areas"),
    },
    "dots_and_globules": {
        "absent": _NONE,
        "regular": ("regular dots and globules",),
        "irregular": ("irregular dots and globules",),
    },
    "blue_whitish_veil": {"absent": _NONE, "present": ("blue-white veil",)},
    "vascular_structures": {
        "absent": _NONE,
        "arborizing": ("arborising vessels",),
        "comma": ("comma vessels",),
        "hairpin": ("hairpin vessels",),
        "within regression": ("vessels within regression",),
        "wreath": ("wreath vessels",),
        "dotted": ("dotted vessels",),
        "linear irregular": ("linear irregular vessels",),
    },
}


def caption_of_criteria(row: TableRow) -> Caption:
    """The structures of a row of `meta.csv`; raises InputError for a label that is not known."""
    found: list[str] = []
    for column, labels in CRITERIA.items():
        if row.text(column):
            label = " ".join(row.raw(column).casefold().split())
            if label not in labels:
                raise row.wrong(column, f"one of {', '.join(labels)}")
            found += labels[label]
    if not found:
        return {}
    return {FIELD: found[0] if len(found) == 1 else found}
