"""Claims about how a predicted diagnosis relates to the true one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical import find, ontology, relation
from skinflow_jax.clinical.names import read_name
from skinflow_jax.errors import InputError

DISEASES = list(ontology().diseases.values())
NAMES = [name for d in DISEASES for name in (d.name, *d.synonyms)]
CRITICAL, UNDETERMINED, NONE = "critical", "undetermined", "none"


@pytest.mark.parametrize(
    ("prediction", "reference", "kind"),
    [
        ("Melanoma.", "melanoma", "exact"),
        ("melanoma\n", "melanoma", "exact"),
        ("nevi", "naevus", "exact"),
        ("MEL", "melanoma", "synonym"),
        ("atopic eczema", "atopic dermatitis", "synonym"),
        ("nodular melanoma", "melanoma", "subclass"),
        ("atopic dermatitis", "eczema", "subclass"),
        ("seborrheic keratosis", "bkl", "subclass"),
        ("bkl", "bkl", "exact"),
        ("Bowen's disease", "squamous cell carcinoma", "sibling"),
        ("cherry angioma", "vascular lesion", "subclass"),
        ("vascular lesion", "vascular lesion", "exact"),
        ("vascular lesion", "cherry angioma", "unrelated"),
        ("guttate psoriasis", "plaque psoriasis", "sibling"),
        ("basal cell carcinoma", "squamous cell carcinoma", "unrelated"),
        ("melasma", "melanoma", "unrelated"),
        ("not melanoma", "melanoma", "unrelated"),
        ("melanoma or nevus", "melanoma", "unrelated"),
        ("e", "melanoma", "unrelated"),
        ("", "melanoma", "invalid"),
        ("?!", "melanoma", "invalid"),
    ],
)
def test_kinds(prediction, reference, kind):
    found = relation(prediction, reference)
    assert found.kind == kind
    assert found.accepted == (kind in ("exact", "synonym", "subclass"))


def test_what_has_more_than_twelve_kinds_and_is_accepted_for_them_is_one_disease():
    known = ontology()
    kinds = Counter(name for disease in DISEASES for name in known.ancestors(disease))
    wide = {name for name, n in kinds.items() if n > 12 and known.diseases[name].answerable}
    assert wide == ONE_DISEASE


# Of many forms, sites, stages or genes: its name is right for each of them.
ONE_DISEASE = {
    *("acne", "basal cell carcinoma", "melanocytic naevus", "melanoma", "psoriasis", "urticaria"),
    *("squamous cell carcinoma", "lichen planus", "cutaneous metastasis", "candidiasis"),
    *("dermatophytosis", "allergic contact dermatitis", "dyskeratosis congenita"),
    *("Ehlers-Danlos syndrome", "epidermolysis bullosa", "inherited cutis laxa"),
}


@pytest.mark.parametrize(
    ("broad", "kinds"),
    [
        ("eczema", ["nummular eczema", "atopic dermatitis", "stasis dermatitis"]),
        ("contact dermatitis", ["allergic contact dermatitis", "irritant contact dermatitis"]),
        ("benign keratosis", ["seborrhoeic keratosis", "solar lentigo"]),
        ("benign vascular lesion", ["cherry angioma", "angiokeratoma"]),
        ("haemangioma", ["cherry angioma", "infantile haemangioma"]),
        ("arthropod bite or sting", ["mosquito bite", "tick bite"]),
        ("photodermatosis", ["polymorphous light eruption", "chronic actinic dermatitis"]),
        ("mucous cyst", ["digital mucous cyst", "mucocele"]),
        ("pemphigoid", ["bullous pemphigoid", "pemphigoid gestationis"]),
        ("ectodermal dysplasia", ["hypohidrotic ectodermal dysplasia"]),
        ("viral haemorrhagic fever", ["Lassa fever"]),
        ("telangiectasia", ["angioma serpiginosum"]),
        ("pediculosis", ["head lice"]),
        ("cheilitis", ["allergic contact cheilitis"]),
        ("pruritus", ["notalgia paraesthetica"]),
    ],
)
def test_a_class_is_met_by_its_kinds_and_meets_none_of_them(broad, kinds):
    for kind in kinds:
        assert relation(kind, broad).accepted
        assert not relation(broad, kind).accepted
        assert relation(broad, kind).safety == UNDETERMINED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("chronic urticaria", "acute urticaria"),
        ("chronic spontaneous urticaria", "acute urticaria"),
        ("acute GVHD", "chronic graft-versus-host disease"),
        ("chronic HIV infection", "acute HIV infection"),
        ("chronic radiation dermatitis", "acute radiodermatitis"),
        ("acute atopic dermatitis", "chronic atopic dermatitis"),
        ("widespread vitiligo", "segmental vitiligo"),
        ("localised granuloma annulare", "generalised granuloma annulare"),
        ("multiple keratoacanthomas", "solitary keratoacanthoma"),
        ("adult atopic dermatitis", "infantile eczema"),
        ("recurrent melanoma", "primary melanoma"),
    ],
)
def test_a_disease_of_the_contrary_course_is_not_accepted(one, other):
    for pair in ((one, other), (other, one)):
        found = relation(*pair)
        assert (found.kind, found.accepted) == ("sibling", False)


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("chronic urticaria", "urticaria"),
        ("urticaria", "acute urticaria"),
        ("acute urticaria", "urticaria"),
        ("chronic HIV infection", "HIV infection"),
        ("chronic plaque psoriasis", "psoriasis"),
        ("multiple neurofibromas", "neurofibroma"),
        ("childhood atopic eczema", "atopic dermatitis"),
        ("early melanoma", "melanoma"),
    ],
)
def test_a_course_that_the_other_does_not_deny_is_accepted(prediction, reference):
    assert relation(prediction, reference).accepted


def test_no_course_added_to_a_name_makes_it_a_kind_of_the_contrary():
    """Of each row for a course: the name of what it is a kind of, with the contrary course."""
    against = {"acute": "chronic", "chronic": "acute", "localised": "widespread"}
    against |= {"solitary": "multiple", "multiple": "solitary", "generalised": "localised"}
    pairs = [
        (f"{against[word]} {parent}", disease.name)
        for disease in DISEASES
        for word in disease.name.split()
        if word in against
        for parent in disease.parents
        if word not in parent
    ]
    assert len(pairs) >= 60
    # "Localised scleroderma" is a name of all morphoea, as against systemic sclerosis.
    kept = [("localised morphoea", "generalised morphoea")]
    assert [pair for pair in pairs if relation(*pair).accepted] == kept


@pytest.mark.parametrize(
    "broad", ["skin disease", "tumour", "Tumor", "dermatitis", "skin cancer", "infection", "rash"]
)
@pytest.mark.parametrize("reference", ["melanoma", "atopic dermatitis", "impetigo", "BCC"])
def test_a_class_too_broad_is_never_accepted(broad, reference):
    assert not relation(broad, reference).accepted


@pytest.mark.parametrize(
    ("prediction", "reference", "safety"),
    [
        # Across malignant and not.
        ("naevus", "melanoma", CRITICAL),
        ("melanoma", "naevus", CRITICAL),
        ("naevus", "lentigo maligna", CRITICAL),
        ("lentigo maligna", "naevus", CRITICAL),
        ("Bowen disease", "psoriasis", NONE),
        ("Langerhans cell histiocytosis", "psoriasis", CRITICAL),
        ("eczema", "extramammary Paget disease", CRITICAL),
        ("actinic keratosis", "squamous cell carcinoma", CRITICAL),
        ("squamous cell carcinoma", "actinic keratosis", NONE),
        ("actinic keratosis", "basal cell carcinoma", NONE),
        ("seborrheic keratosis", "actinic keratosis", NONE),
        # Across infection, only where it harms.
        ("psoriasis", "tinea corporis", CRITICAL),
        ("tinea corporis", "psoriasis", NONE),
        ("eczema", "scabies", CRITICAL),
        ("scabies", "atopic dermatitis", NONE),
        ("insect bite", "secondary syphilis", CRITICAL),
        ("cellulitis", "pyoderma gangrenosum", CRITICAL),
        ("necrotising fasciitis", "pyoderma gangrenosum", CRITICAL),
        ("psoriasis", "seborrhoeic dermatitis", NONE),
        *(
            pair
            for a, b in [
                ("acne", "folliculitis"),
                ("milia", "molluscum contagiosum"),
                ("skin tag", "wart"),
                ("seborrhoeic keratosis", "wart"),
                ("vitiligo", "tinea versicolor"),
                ("rosacea", "folliculitis"),
                ("keratosis pilaris", "folliculitis"),
                ("hidradenitis suppurativa", "folliculitis"),
                ("seborrhoeic dermatitis", "tinea versicolor"),
            ]
            for pair in [(a, b, NONE), (b, a, NONE)]
        ),
        # What cannot wait.
        ("erythema multiforme", "Stevens-Johnson syndrome", CRITICAL),
        ("urticaria", "toxic epidermal necrolysis", CRITICAL),
        ("drug eruption", "toxic epidermal necrolysis", CRITICAL),
        ("morbilliform drug eruption", "toxic epidermal necrolysis", CRITICAL),
        ("eczema", "pemphigus vulgaris", CRITICAL),
        ("cellulitis", "necrotising fasciitis", CRITICAL),
        ("necrotising fasciitis", "cellulitis", NONE),
        ("psoriasis", "lichen planus", NONE),
        ("melanoma", "nodular melanoma", NONE),
        # What is meant is not known.
        ("gibberish", "melanoma", UNDETERMINED),
        ("xyz", "melanoma", UNDETERMINED),
        ("benign mole of sorts", "melanoma", UNDETERMINED),
        ("skin cancer", "melanoma", UNDETERMINED),
        ("dermatitis", "melanoma", UNDETERMINED),
        ("not melanoma", "melanoma", UNDETERMINED),
        ("", "melanoma", UNDETERMINED),
        ("melanoma", "a rash that no row knows", UNDETERMINED),
        # A broad reference: where all its kinds agree.
        ("melanoma", "scar", CRITICAL),
        ("keloid", "scar", NONE),
        ("eczema", "vascular lesion", UNDETERMINED),
    ],
)
def test_safety_has_three_values(prediction, reference, safety):
    found = relation(prediction, reference)
    assert found.safety == safety
    assert found.safety_critical is (safety == CRITICAL)


def test_management_agrees_where_the_first_step_is_the_same():
    assert relation("SCC", "melanoma").management_consistent
    assert relation("tinea pedis", "tinea corporis").management_consistent
    assert not relation("psoriasis", "tinea corporis").management_consistent
    assert not relation("skin cancer", "infection").management_consistent


def test_a_name_outside_the_ontology_equals_only_itself():
    assert relation("Leaf Rust.", "leaf rust").kind == "exact"
    assert relation("balanitis", "leaf rust").kind == "unrelated"


def test_an_empty_reference_is_an_error():
    with pytest.raises(InputError, match="reference diagnosis is empty"):
        relation("melanoma", " ")


@given(st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_what_two_names_of_diseases_are_to_each_other(a, b):
    found, back, known = relation(a, b), relation(b, a), ontology()
    guess, truth = find(a), find(b)
    assert not (found.accepted and found.safety != NONE)
    # Is-a works both ways, but for a broad class: it is met, it meets nothing.
    if guess.answerable and truth.answerable:
        assert found.accepted == back.accepted
        one_way = truth.name in known.ancestors(guess) or guess.name in known.ancestors(truth)
        assert found.accepted == (guess is truth or one_way)
    if not guess.answerable and guess is not truth:
        assert not found.accepted and found.safety != NONE
        assert guess.told or found.safety == UNDETERMINED
    assert (found.kind == "exact") <= (guess is truth)


@given(st.sampled_from(NAMES))
def test_every_name_is_read_as_its_row_and_is_its_own_equal(name):
    assert read_name(name, ontology()).disease is find(name)
    assert relation(name, name).kind == "exact"


@given(st.text())
def test_any_prediction_gets_a_verdict(text):
    assert not relation(text, "leaf rust of nowhere").accepted
