"""Claims about how long a disease can wait, and about infections that are left without a drug."""

import pytest

from skinflow_jax.clinical import find, ontology, relation
from skinflow_jax.clinical.ontology_disease import TOLD

CAN_WAIT = {
    "emergency": [
        *("necrotising fasciitis", "meningococcaemia", "purpura fulminans", "toxic shock syndrome"),
        *("toxic epidermal necrolysis", "DRESS", "AGEP", "erythroderma", "angioedema"),
        *("generalised pustular psoriasis", "eczema herpeticum", "neonatal herpes simplex"),
        *("ophthalmic zoster", "Rocky Mountain spotted fever", "Lassa fever", "severe dengue"),
        *("chemical burn", "full thickness burn", "frostbite", "noma", "scorpion sting"),
        *("temporal arteritis", "collodion baby", "acute graft-versus-host disease", "plague"),
    ],
    "urgent": [
        *("melanoma", "Merkel cell carcinoma", "squamous cell carcinoma", "angiosarcoma"),
        *("cutaneous metastasis", "leukaemia cutis", "Sézary syndrome", "keratoacanthoma"),
        *("Langerhans cell histiocytosis", "Kawasaki disease", "systemic lupus erythematosus"),
        *("dermatomyositis", "IgA vasculitis", "granulomatosis with polyangiitis"),
        *("polyarteritis nodosa", "pyoderma gangrenosum", "Sweet syndrome", "calciphylaxis"),
        *("pemphigus vulgaris", "bullous pemphigoid", "acrodermatitis enteropathica", "burn"),
        *("herpes zoster", "cellulitis", "dengue", "measles", "cutaneous anthrax", "scrub typhus"),
        *("crusted scabies", "congenital syphilis", "visceral leishmaniasis", "Buruli ulcer"),
        *("diabetic foot ulcer", "mucosal haemorrhage", "erythroplakia", "dog bite"),
    ],
    "soon": [
        *("basal cell carcinoma", "melanoma in situ", "dermatofibrosarcoma protuberans"),
        *("mycosis fungoides", "Kaposi sarcoma", "dysplastic naevus", "actinic cheilitis"),
        *("erythema migrans", "leprosy", "syphilis", "scabies", "tinea capitis", "impetigo"),
        *("cutaneous leishmaniasis", "sporotrichosis", "discoid lupus erythematosus", "morphoea"),
        *("erythema nodosum", "eruptive xanthoma", "lichen sclerosus", "incontinentia pigmenti"),
        *("epidermolysis bullosa", "hidradenitis suppurativa", "pyogenic granuloma", "scurvy"),
    ],
    "routine": [
        *("psoriasis", "atopic dermatitis", "acne", "rosacea", "vitiligo", "lichen planus"),
        *("seborrhoeic keratosis", "melanocytic naevus", "wart", "molluscum contagiosum"),
        *("tinea corporis", "tinea versicolor", "folliculitis", "actinic keratosis", "keloid"),
        *("alopecia areata", "urticaria", "granuloma annulare", "cutaneous larva migrans"),
    ],
}


@pytest.mark.parametrize(
    ("name", "urgency"), [(name, u) for u, names in CAN_WAIT.items() for name in names]
)
def test_how_long_a_disease_can_wait(name, urgency):
    assert find(name).urgency == urgency


@pytest.mark.parametrize(
    ("prediction", "reference", "safety"),
    [
        # Spreads until a drug stops it, and the guess sends home without one.
        ("insect bite", "erythema migrans", "critical"),
        ("tick bite", "erythema migrans", "critical"),
        ("granuloma annulare", "erythema migrans", "critical"),
        ("wart", "fish tank granuloma", "critical"),
        ("wart", "chromoblastomycosis", "critical"),
        ("insect bite", "cutaneous leishmaniasis", "critical"),
        ("keloid", "lobomycosis", "critical"),
        # The guess brings a drug of that kind, or is seen again within weeks.
        ("cellulitis", "erythema migrans", "none"),
        ("erythema multiforme", "erythema migrans", "none"),
        # Needs no drug, or can wait for months, or passes by itself.
        ("insect bite", "molluscum contagiosum", "none"),
        ("keratosis pilaris", "folliculitis", "none"),
        ("vitiligo", "tinea versicolor", "none"),
        ("urticaria", "herpes labialis", "none"),
        ("seborrhoeic keratosis", "tungiasis", "none"),
        ("contact dermatitis", "cutaneous larva migrans", "undetermined"),
    ],
)
def test_an_infection_that_is_left(prediction, reference, safety):
    assert relation(prediction, reference).safety == safety


@pytest.mark.parametrize(
    ("prediction", "reference", "safety"),
    [
        # A class may be wrong by what all its kinds share, and is never safe.
        ("eczema", "pemphigus vulgaris", "critical"),
        ("eczema", "scabies", "critical"),
        ("benign keratosis", "melanoma", "critical"),
        ("haemangioma", "angiosarcoma", "critical"),
        ("eczema", "psoriasis", "undetermined"),
        ("benign keratosis", "melanocytic naevus", "undetermined"),
        ("skin cancer", "eczema", "undetermined"),
        # A class that tells all it is judged by is judged as a reference, too.
        ("psoriasis", "eczema", "none"),
        ("melanoma", "benign keratosis", "critical"),
        ("melanocytic naevus", "benign keratosis", "none"),
    ],
)
def test_what_a_class_costs(prediction, reference, safety):
    assert relation(prediction, reference).safety == safety


def test_what_a_row_tells_is_told_whole_by_all_that_can_be_answered():
    for disease in ontology().diseases.values():
        assert disease.told >= disease.answerable, disease.name
        assert not disease.answerable or all(getattr(disease, column) for column in TOLD)
