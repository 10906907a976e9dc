"""One row of the ontology, and the words that its columns may hold; docs/ontology.md explains each.

The words for urgency and for the first step of management are our choice and mean what is usual; no
clinician has reviewed them, and they are not advice.
"""

import functools
from dataclasses import dataclass

NATURES = ("benign", "uncertain", "premalignant", "in situ", "malignant", "n/a")
"""Of a tumour, by what it may become; "n/a" for what is none."""

INFECTIONS = ("none", "bacterial", "viral", "fungal", "parasitic", "infestation")
CONTAGIONS = ("none", "minor", "matters")
"""Whether others must be traced, isolated or treated ("matters": scabies, measles, leprosy)."""

URGENCIES = ("routine", "soon", "urgent", "emergency")
"""Within months, weeks, days, hours; in this order."""

FIRST_STEPS = {
    "reassurance": "no treatment needed, or for looks only",
    "supportive": "fluids, pain relief, rest: it passes by itself",
    "removal": "excise or destroy the lesion, for comfort or certainty",
    "field treatment": "cryotherapy, topical or light treatment of precancer",
    "cancer surgery": "excision with margins, staging where due",
    "oncology": "specialist systemic treatment or radiation",
    "anti-inflammatory": "topical steroids and the like, light",
    "immunosuppression": "specialist systemic immunosuppression",
    "follicular": "treatment of acne and rosacea",
    "antibacterial": "antibiotics",
    "antifungal": "antifungals",
    "antiviral": "antivirals",
    "antiparasitic": "removal or killing of the parasite",
    "trigger": "stop the drug or avoid the trigger, antihistamines",
    "work-up": "look for inherited or systemic disease",
    "pigment": "sun protection, treatment of pigment",
    "compression": "compression, wound care",
    "scar treatment": "silicone, intralesional steroid, pressure",
    "replacement": "of a substance that is lacking",
    "emergency care": "admission at once",
    "hair treatment": "of hair loss or of too much hair",
    "nail care": "trimming, relief, protection of the nail",
    "psychological": "psychological or psychiatric help",
    "protection": "protect, moisturise, offload, keratolytics",
}

TOLD = ("nature", "infection", "contagious", "urgency", "first_step", "partition")
"""Columns that every answerable disease fills, and a class may leave empty where it varies."""

WORDS = {
    "nature": NATURES,
    "infection": INFECTIONS,
    "contagious": CONTAGIONS,
    "urgency": URGENCIES,
    "first_step": tuple(FIRST_STEPS),
}

SHARED = ("nature", "infection", "contagious", "urgency")
"""What holds of all kinds of a disease or class whose row tells it."""


@dataclass(frozen=True)
class Disease:
    """A disease or a class of diseases.

    `name` is canonical; each of `synonyms` can be exchanged for it both ways; `abbreviations` may
    be other diseases' too; `parents` are canonical names of what it is a kind of. A class that is
    not `answerable` is too broad to be an answer for its kinds. The others hold one of `WORDS`
    each, "" where a class varies; `partition` is any group to report by, `source` what the row
    rests on and `review` who has checked it.
    """

    name: str
    synonyms: tuple[str, ...]
    abbreviations: tuple[str, ...]
    parents: tuple[str, ...]
    answerable: bool
    nature: str
    infection: str
    contagious: str
    urgency: str
    first_step: str
    partition: str
    source: str
    review: str

    @functools.cached_property
    def told(self) -> bool:
        """Whether its row tells all that the cost of an error depends on; answerable ones do."""
        return all(getattr(self, column) for column in WORDS)

    @property
    def tumour(self) -> bool:
        """Whether it is a tumour of a known nature."""
        return self.nature not in ("", "n/a")
