"""The diseases of the ontology; see ontology_terms for the format of a row."""

from skinflow_jax.clinical.ontology_terms import Profile

DISEASES = [
    (
        Profile("malignant", False, "cancer surgery", "urgent"),
        """
melanoma | malignant melanoma; cutaneous melanoma; MEL | melanocytic lesion; skin cancer
superficial spreading melanoma | SSM; superficial spreading melanoma SSM | melanoma
nodular melanoma | NM | melanoma
lentigo maligna | lentigo maligna melanoma; LMM; Hutchinson melanotic freckle; melanoma in situ |
    melanoma
acral lentiginous melanoma | ALM; acral melanoma | melanoma
squamous cell carcinoma | SCC; cSCC; cutaneous squamous cell carcinoma; squamous carcinoma;
    epidermoid carcinoma; spinalioma | keratinocyte cancer; keratinocytic lesion
keratoacanthoma | KA | squamous cell carcinoma
Merkel cell carcinoma | MCC; neuroendocrine carcinoma of skin | skin cancer
dermatofibrosarcoma protuberans | DFSP | skin cancer; soft tissue tumour
angiosarcoma | cutaneous angiosarcoma | skin cancer; vascular lesion
""",
    ),
    (
        Profile("malignant", False, "cancer surgery", "soon"),
        """
basal cell carcinoma | BCC; basal cell cancer; basalioma; rodent ulcer; basal cell epithelioma |
    keratinocyte cancer; keratinocytic lesion
nodular basal cell carcinoma | solid cystic basal cell carcinoma; nodular BCC | basal cell carcinoma
superficial basal cell carcinoma | superficial BCC | basal cell carcinoma
morphoeic basal cell carcinoma | basal cell carcinoma morpheiform; morpheaform basal cell
    carcinoma; sclerosing basal cell carcinoma | basal cell carcinoma
pigmented basal cell carcinoma | pigmented BCC | basal cell carcinoma
Bowen disease | Bowen; squamous cell carcinoma in situ; SCC in situ; SCCIS; intraepidermal
    carcinoma | squamous cell carcinoma; intraepithelial keratinocytic neoplasia
extramammary Paget disease | EMPD | skin cancer
""",
    ),
    (
        Profile("malignant", False, "oncology", "soon"),
        """
mycosis fungoides | MF | cutaneous lymphoma
Sézary syndrome | | cutaneous lymphoma
Kaposi sarcoma | KS; Kaposi's disease | skin cancer; vascular lesion
""",
    ),
    (
        Profile("premalignant", False, "field treatment", "soon"),
        """
actinic keratosis | ACK; AK; solar keratosis; senile keratosis | intraepithelial keratinocytic
    neoplasia
actinic cheilitis | solar cheilitis | actinic keratosis
""",
    ),
    (
        Profile("benign", False, "reassurance", "routine"),
        """
melanocytic naevus | naevus; NEV; NV; mole; melanocytic mole; common naevus; naevocytic naevus;
    naevocellular naevus; pigmented naevus | melanocytic lesion; benign skin tumour
blue naevus | naevus bleu | melanocytic naevus
congenital melanocytic naevus | congenital naevus; CMN | melanocytic naevus
halo naevus | Sutton naevus | melanocytic naevus
junctional naevus | junctional melanocytic naevus | melanocytic naevus
compound naevus | compound melanocytic naevus | melanocytic naevus
intradermal naevus | dermal naevus; intradermal melanocytic naevus | melanocytic naevus
seborrhoeic keratosis | SEK; SK; seborrhoeic wart; senile wart; basal cell papilloma; verruca
    seborrhoica | benign keratosis
stucco keratosis | | seborrhoeic keratosis
dermatosis papulosa nigra | DPN | seborrhoeic keratosis
solar lentigo | actinic lentigo; senile lentigo; liver spot; age spot; sun spot | lentigo; benign
    keratosis
lentigo simplex | simple lentigo | lentigo
freckle | ephelis; ephelides | hyperpigmentation
cherry haemangioma | cherry angioma; senile angioma; Campbell de Morgan spot | benign vascular
    lesion
infantile haemangioma | strawberry naevus; strawberry haemangioma | benign vascular lesion
venous lake | phlebectasia of lip | benign vascular lesion
angiokeratoma | | benign vascular lesion
port-wine stain | naevus flammeus; capillary malformation | benign vascular lesion
telangiectasia | telangiectases; telangiectasis; spider naevus; spider angioma | benign vascular
    lesion
lymphangioma | lymphangioma circumscriptum; lymphatic malformation | benign vascular lesion
dermatofibroma | DF; fibrous histiocytoma; benign fibrous histiocytoma; histiocytoma | soft tissue
    tumour; benign skin tumour
sebaceous hyperplasia | senile sebaceous hyperplasia | adnexal tumour; benign skin tumour
Fordyce spot | Fordyce granule | adnexal tumour
syringoma | | adnexal tumour; benign skin tumour
milia | milium; milk spot | skin cyst
keratosis pilaris | KP; chicken skin | keratinisation disorder; follicular disorder
striae | stretch mark; striae distensae | scar tissue disorder
Becker naevus | Becker melanosis | hyperpigmentation
café-au-lait macule | café au lait spot | hyperpigmentation
""",
    ),
    (
        Profile("benign", False, "removal", "soon"),
        """
dysplastic naevus | atypical naevus; Clark naevus; atypical mole; dysplastic melanocytic naevus |
    melanocytic naevus
Spitz naevus | Reed naevus; spindle cell naevus | melanocytic naevus
pyogenic granuloma | granuloma pyogenicum; granuloma pyogenic; lobular capillary haemangioma |
    benign vascular lesion
""",
    ),
    (
        Profile("benign", False, "removal", "routine"),
        """
epidermoid cyst | epidermal cyst; epidermal inclusion cyst; infundibular cyst; sebaceous cyst |
    skin cyst
pilar cyst | trichilemmal cyst; wen | skin cyst
mucous cyst | digital mucous cyst; myxoid cyst; mucocele | skin cyst
lipoma | | soft tissue tumour; benign skin tumour
neurofibroma | | soft tissue tumour; benign skin tumour
acrochordon | skin tag; fibroepithelial polyp; soft fibroma | soft tissue tumour; benign skin tumour
pilomatricoma | pilomatrixoma; calcifying epithelioma of Malherbe | adnexal tumour; benign skin
    tumour
epidermal naevus | verrucous epidermal naevus; ILVEN | keratinocytic lesion; benign skin tumour
naevus sebaceus | naevus sebaceous; naevus sebaceous of Jadassohn; sebaceous naevus | adnexal
    tumour; benign skin tumour
naevus comedonicus | comedo naevus | adnexal tumour
keloid | keloid scar | scar tissue disorder
hypertrophic scar | | scar tissue disorder
""",
    ),
    (
        Profile("benign", False, "anti-inflammatory", "routine"),
        """
psoriasis | psoriasis vulgaris; plaque psoriasis; chronic plaque psoriasis | papulosquamous disorder
guttate psoriasis | | psoriasis
atopic dermatitis | AD; atopic eczema | eczematous dermatitis
contact dermatitis | contact eczema | eczematous dermatitis
allergic contact dermatitis | ACD; allergic contact eczema | contact dermatitis
irritant contact dermatitis | irritant dermatitis | contact dermatitis
nummular eczema | nummular dermatitis; discoid eczema | eczematous dermatitis
dyshidrotic eczema | pompholyx; dyshidrosis; dyshidrotic dermatitis | eczematous dermatitis
asteatotic eczema | eczema craquelé; xerotic eczema | eczematous dermatitis
seborrhoeic dermatitis | seborrhoeic eczema; dandruff; cradle cap | dermatitis
stasis dermatitis | venous eczema; varicose eczema; gravitational eczema | dermatitis; vasculopathy
lichen simplex chronicus | lichen simplex; LSC; neurodermatitis | dermatitis
prurigo nodularis | nodular prurigo; PN; prurigo; chronic prurigo | dermatitis
factitial dermatitis | dermatitis artefacta | inflammatory skin disease
excoriation disorder | neurotic excoriation; skin picking disorder | inflammatory skin disease
cheilitis | | dermatitis
lichen planus | LP; lichen ruber planus | papulosquamous disorder
lichen sclerosus | lichen sclerosus et atrophicus | connective tissue disease
lichen nitidus | | papulosquamous disorder
pityriasis rubra pilaris | PRP | papulosquamous disorder; keratinisation disorder
pityriasis lichenoides | pityriasis lichenoides chronica; PLEVA; PLC | papulosquamous disorder
granuloma annulare | GA | granulomatous disorder
necrobiosis lipoidica | necrobiosis lipoidica diabeticorum | granulomatous disorder
vitiligo | | hypopigmentation
alopecia areata | AA | hair disorder
morphoea | morphea; localised scleroderma | connective tissue disease
erythema annulare centrifugum | erythema annulare centrifigum; EAC | reactive erythema
lichen amyloidosis | lichen amyloidosus; cutaneous amyloidosis | metabolic skin disease
polymorphous light eruption | polymorphic light eruption; PMLE | photodermatosis
confluent and reticulated papillomatosis | papilomatosis confluentes and reticulate; CARP |
    keratinisation disorder
""",
    ),
    (
        Profile("benign", False, "reassurance", "routine"),
        """
pityriasis rosea | pityriasis rosea of Gibert | papulosquamous disorder
livedo reticularis | | vasculopathy
stasis oedema | venous oedema | vasculopathy
juvenile xanthogranuloma | JXG | histiocytosis
""",
    ),
    (
        Profile("benign", False, "pigment", "routine"),
        """
melasma | chloasma; mask of pregnancy | hyperpigmentation
post-inflammatory hyperpigmentation | PIH | hyperpigmentation
drug-induced pigmentation | drug induced pigmentary change | hyperpigmentation
photoageing | photoaging; sun damaged skin; actinic elastosis; solar elastosis | skin disease
""",
    ),
    (
        Profile("benign", False, "follicular", "routine"),
        """
acne vulgaris | acne; common acne | follicular disorder
rosacea | acne rosacea | follicular disorder
rhinophyma | phymatous rosacea | rosacea
perioral dermatitis | periorificial dermatitis | follicular disorder
hidradenitis suppurativa | HS; hidradenitis; acne inversa | follicular disorder
""",
    ),
    (
        Profile("benign", False, "immunosuppression", "soon"),
        """
bullous pemphigoid | BP; pemphigoid | autoimmune blistering disease
pemphigoid gestationis | herpes gestationis; acquired autoimmune bullous diseaseherpes gestationis
    | autoimmune blistering disease
pemphigus | | autoimmune blistering disease
pemphigus foliaceus | PF | pemphigus
dermatitis herpetiformis | DH; Duhring disease | autoimmune blistering disease
pustular psoriasis | | psoriasis
lupus erythematosus | cutaneous lupus erythematosus; cutaneous lupus; lupus | connective tissue
    disease
discoid lupus erythematosus | DLE; discoid lupus | lupus erythematosus
subacute cutaneous lupus erythematosus | SCLE; lupus subacute; subacute lupus | lupus erythematosus
systemic lupus erythematosus | SLE; systemic lupus | lupus erythematosus
dermatomyositis | DM | connective tissue disease
scleroderma | systemic sclerosis | connective tissue disease
sarcoidosis | cutaneous sarcoidosis; cutaneous sarcoid; sarcoid | granulomatous disorder
Behçet disease | Behçet; Behçet syndrome | neutrophilic dermatosis; vasculopathy
pyoderma gangrenosum | | neutrophilic dermatosis
Sweet syndrome | acute febrile neutrophilic dermatosis | neutrophilic dermatosis
erythema elevatum diutinum | EED | neutrophilic dermatosis; vasculopathy
leukocytoclastic vasculitis | cutaneous vasculitis; small vessel vasculitis; vasculitis |
    vasculopathy
scleromyxoedema | | mucinosis
""",
    ),
    (
        Profile("benign", False, "immunosuppression", "urgent"),
        "pemphigus vulgaris | | pemphigus",
    ),
    (
        Profile("benign", False, "trigger", "routine"),
        """
urticaria | hives; nettle rash | reactive erythema
erythema nodosum | | reactive erythema
tick bite | insect bite; arthropod bite | reactive erythema
""",
    ),
    (
        Profile("benign", False, "trigger", "soon"),
        """
erythema multiforme | EM | reactive erythema
drug eruption | drug rash; exanthematous drug eruption; drug reaction | reactive erythema
fixed drug eruption | fixed eruption; FDE | drug eruption
""",
    ),
    (
        Profile("benign", False, "trigger", "emergency"),
        """
Stevens-Johnson syndrome | SJS | reactive erythema; blistering disease
toxic epidermal necrolysis | Lyell syndrome | reactive erythema; blistering disease
""",
    ),
    (
        Profile("benign", False, "work-up", "routine"),
        """
urticaria pigmentosa | cutaneous mastocytosis; mastocytosis; maculopapular cutaneous mastocytosis
    | inflammatory skin disease
xanthoma | xanthelasma; eruptive xanthoma | metabolic skin disease
calcinosis cutis | | metabolic skin disease
acanthosis nigricans | | keratinisation disorder; metabolic skin disease
porphyria | porphyria cutanea tarda; PCT | metabolic skin disease; photodermatosis
acrodermatitis enteropathica | zinc deficiency dermatitis | genodermatosis; metabolic skin disease
aplasia cutis | aplasia cutis congenita | genodermatosis
Darier disease | Darier; keratosis follicularis | genodermatosis; keratinisation disorder
Hailey-Hailey disease | benign familial pemphigus | genodermatosis; blistering disease
Ehlers-Danlos syndrome | EDS | genodermatosis
epidermolysis bullosa | EB | genodermatosis; blistering disease
ichthyosis | | genodermatosis; keratinisation disorder
ichthyosis vulgaris | | ichthyosis
incontinentia pigmenti | Bloch-Sulzberger syndrome | genodermatosis
neurofibromatosis | NF1; von Recklinghausen disease | genodermatosis
tuberous sclerosis | tuberous sclerosis complex; TSC; Bourneville disease | genodermatosis
porokeratosis | | keratinisation disorder
porokeratosis of Mibelli | | porokeratosis
disseminated superficial actinic porokeratosis | disseminated actinic porokeratosis; porokeratosis
    actinic; DSAP | porokeratosis
""",
    ),
    (
        Profile("premalignant", False, "work-up", "soon"),
        "xeroderma pigmentosum | XP | genodermatosis",
    ),
    (
        Profile("benign", False, "oncology", "soon"),
        "Langerhans cell histiocytosis | LCH; histiocytosis X | histiocytosis",
    ),
    (
        Profile("benign", True, "antiviral", "routine"),
        """
viral wart | wart; verruca vulgaris; verruca; common wart | viral skin infection
plantar wart | verruca plantaris | viral wart
flat wart | verruca plana; plane wart | viral wart
genital wart | condyloma acuminatum; condyloma; condylomata acuminata | viral wart
molluscum contagiosum | molluscum; mollusca | viral skin infection
herpes simplex | HSV; cold sore; herpes labialis; herpes simplex infection | herpesvirus infection
varicella | chickenpox; chicken pox | herpesvirus infection
hand, foot and mouth disease | HFMD | viral skin infection
""",
    ),
    (
        Profile("benign", True, "antiviral", "soon"),
        "herpes zoster | shingles; zoster | herpesvirus infection",
    ),
    (
        Profile("benign", True, "antifungal", "routine"),
        """
tinea corporis | ringworm of body | dermatophytosis
tinea pedis | athlete's foot | dermatophytosis
tinea cruris | jock itch | dermatophytosis
tinea capitis | scalp ringworm | dermatophytosis
tinea faciei | | dermatophytosis
onychomycosis | tinea unguium; fungal nail infection | dermatophytosis
tinea versicolor | pityriasis versicolor | fungal skin infection
candidiasis | cutaneous candidiasis; candida infection; candida intertrigo; thrush | fungal skin
    infection
""",
    ),
    (
        Profile("benign", True, "antibacterial", "soon"),
        """
impetigo | impetigo contagiosa | bacterial skin infection
folliculitis | bacterial folliculitis | bacterial skin infection; follicular disorder
furuncle | boil; furunculosis; carbuncle | bacterial skin infection
paronychia | | bacterial skin infection
Lyme disease | erythema migrans; Lyme borreliosis; borreliosis | bacterial skin infection
erythrasma | | bacterial skin infection
syphilis | secondary syphilis; lues | bacterial skin infection
leprosy | Hansen disease | bacterial skin infection
cutaneous tuberculosis | lupus vulgaris | bacterial skin infection
""",
    ),
    (
        Profile("benign", True, "antibacterial", "urgent"),
        """
cellulitis | | bacterial skin infection
erysipelas | | cellulitis
""",
    ),
    (
        Profile("benign", True, "antiparasitic", "soon"),
        """
scabies | | skin infestation
pediculosis | lice; head lice; pediculosis capitis; pediculosis lids | skin infestation
myiasis | | skin infestation
tungiasis | | skin infestation
cutaneous larva migrans | creeping eruption; nematode infection | skin infestation
cutaneous leishmaniasis | leishmaniasis | skin infestation
""",
    ),
]
