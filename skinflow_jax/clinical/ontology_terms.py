"""The diseases and disease classes of the ontology, as text tables under a shared clinical profile.

A row reads `name | synonyms | parents`, entries separated by semicolons; an indented line continues
its row. Names, synonyms and is-a follow common dermatological usage; the tests compare them with
the Disease Ontology (CC0), the ISIC diagnosis paths and the labels of Fitzpatrick17k. Management
and urgency are our choice and mean the usual first step; they are not advice.
"""

from typing import NamedTuple


class Profile(NamedTuple):
    """What all rows of a table have in common; `mixed` and None stand in classes that vary."""

    malignancy: str
    infection: bool | None
    management: str
    urgency: str


MALIGNANCIES = ("benign", "premalignant", "malignant", "mixed")
URGENCIES = ("routine", "soon", "urgent", "emergency", "mixed")
MANAGEMENTS = {
    "reassurance": "no treatment needed, or for looks only",
    "removal": "excise or destroy the lesion for comfort or certainty",
    "field treatment": "cryotherapy, topical or light treatment of precancer",
    "cancer surgery": "excision with margins, staging where due",
    "oncology": "specialist systemic treatment or radiation",
    "anti-inflammatory": "topical steroids, emollients, light",
    "immunosuppression": "specialist systemic immunosuppression",
    "follicular": "acne and rosacea treatment",
    "antibacterial": "antibiotics",
    "antifungal": "antifungals",
    "antiviral": "antivirals or destruction of infected skin",
    "antiparasitic": "removal or killing of the parasite",
    "trigger": "stop the drug or avoid the trigger, antihistamines",
    "work-up": "look for inherited or systemic disease",
    "pigment": "sun protection, treatment of pigment",
    "mixed": "differs within the class",
}

# Too broad to be an answer: right for many unlike diseases, so naming them earns nothing.
BROAD_CLASSES = """
skin disease | skin lesion; dermatosis; skin disorder |
skin tumour | neoplasm of skin; tumour; neoplasm | skin disease
skin cancer | malignant skin tumour; malignant neoplasm; cancer | skin tumour
benign skin tumour | benign neoplasm; benign tumour | skin tumour
melanocytic lesion | melanocytic tumour; pigmented lesion | skin tumour
keratinocyte cancer | non-melanoma skin cancer; NMSC; keratinocyte carcinoma; carcinoma | skin
    cancer
keratinocytic lesion | epidermal tumour; keratosis | skin tumour
adnexal tumour | appendageal tumour | skin tumour
soft tissue tumour | dermal tumour; mesenchymal tumour | skin tumour
vascular lesion | vascular anomaly; vascular tumour | skin disease
skin infection | cutaneous infection; infection | skin disease
bacterial skin infection | pyoderma | skin infection
fungal skin infection | mycosis; superficial mycosis | skin infection
viral skin infection | | skin infection
herpesvirus infection | herpes | viral skin infection
skin infestation | infestation; parasitic skin disease | skin infection
inflammatory skin disease | inflammatory dermatosis | skin disease
dermatitis | | inflammatory skin disease
papulosquamous disorder | papulosquamous disease | inflammatory skin disease
follicular disorder | acneiform eruption; acneiform disorder | inflammatory skin disease
blistering disease | bullous disease | inflammatory skin disease
autoimmune blistering disease | autoimmune bullous disease | blistering disease
connective tissue disease | collagen vascular disease | inflammatory skin disease
granulomatous disorder | granulomatous disease; granuloma | inflammatory skin disease
reactive erythema | | inflammatory skin disease
vasculopathy | vascular disorder of skin | inflammatory skin disease
pigmentary disorder | dyspigmentation | skin disease
hypopigmentation | leukoderma | pigmentary disorder
hyperpigmentation | | pigmentary disorder
keratinisation disorder | | skin disease
genodermatosis | hereditary skin disease | skin disease
hair disorder | hair loss; alopecia | skin disease
scar tissue disorder | scar; fibrosis | skin disease
metabolic skin disease | | skin disease
"""

# Classes that share nature and treatment closely enough to be accepted for their members.
SPECIFIC_CLASSES = [
    (
        Profile("benign", False, "reassurance", "routine"),
        """
benign keratosis | BKL; benign keratosis-like lesion; benign lichenoid keratosis; lichen
    planus-like keratosis; LPLK | keratinocytic lesion; benign skin tumour
benign vascular lesion | VASC; angioma; haemangioma; benign vascular tumour | vascular lesion
lentigo | | hyperpigmentation
""",
    ),
    (
        Profile("benign", False, "removal", "routine"),
        "skin cyst | cutaneous cyst; cyst | benign skin tumour",
    ),
    (
        Profile("premalignant", False, "field treatment", "soon"),
        """
intraepithelial keratinocytic neoplasia | AKIEC; intraepithelial carcinoma; actinic keratosis and
    intraepithelial carcinoma | keratinocytic lesion
""",
    ),
    (
        Profile("malignant", False, "oncology", "soon"),
        "cutaneous lymphoma | skin lymphoma; lymphoma | skin cancer",
    ),
    (
        Profile("benign", False, "anti-inflammatory", "routine"),
        """
eczematous dermatitis | eczema; dermatitis eczematous | dermatitis
photodermatosis | photosensitive dermatosis; photosensitivity dermatitis | inflammatory skin disease
""",
    ),
    (
        Profile("benign", True, "antifungal", "routine"),
        "dermatophytosis | tinea; ringworm; dermatophyte infection | fungal skin infection",
    ),
    (
        Profile("benign", False, "immunosuppression", "soon"),
        "neutrophilic dermatosis | | inflammatory skin disease",
    ),
    (
        Profile("benign", False, "work-up", "routine"),
        """
mucinosis | cutaneous mucinosis | metabolic skin disease
histiocytosis | cutaneous histiocytosis | granulomatous disorder
""",
    ),
]
