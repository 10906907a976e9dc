"""The words a caption may use: canonical values in order, and the synonyms that stand for them.

The fields are those the reading notes of the paper name; values, synonyms and neighbours are our
choice, in the common language of skin description. No disease name appears here (a test checks it).
"""

VALUES: dict[str, tuple[str, ...]] = {
    "lesion_type": (
        *("macule", "patch", "papule", "plaque", "nodule"),
        *("vesicle", "bulla", "pustule", "wheal", "ulcer"),
    ),
    "colour": (
        *("red", "pink", "brown", "black", "white"),
        *("yellow", "purple", "blue", "grey", "skin-coloured"),
    ),
    "shape": ("round", "oval", "irregular", "annular", "linear", "polygonal"),
    "size": ("under 5 mm", "5-10 mm", "10-20 mm", "over 20 mm"),
    "border": ("well-defined", "ill-defined", "irregular", "rolled"),
    "surface": ("smooth", "scaly", "crusted", "warty", "ulcerated", "shiny"),
    "distribution": ("solitary", "grouped", "scattered", "linear", "symmetric"),
    "location": (
        *("face", "nose", "lip", "ear", "scalp", "neck", "chest", "back", "abdomen"),
        *("arm", "forearm", "hand", "thigh", "leg", "foot"),
        *("head", "trunk", "upper limb", "lower limb"),
    ),
    "number": ("single", "few", "many"),
}

SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "lesion_type": {
        "macule": ("macular", "flat spot", "macula"),
        "papule": ("papular", "small bump"),
        "plaque": ("raised plaque", "plaque-like"),
        "nodule": ("nodular", "lump"),
        "vesicle": ("vesicular", "small blister", "blister"),
        "bulla": ("bullous", "large blister"),
        "pustule": ("pustular",),
        "wheal": ("weal", "welt"),
        "ulcer": ("ulceration", "open sore"),
    },
    "colour": {
        "red": ("erythematous", "erythema", "reddish", "dark red"),
        "pink": ("pinkish", "salmon", "light red", "salmon-pink"),
        "brown": ("brownish", "tan", "light brown", "dark brown", "hyperpigmented"),
        "black": ("blackish",),
        "white": ("whitish", "hypopigmented", "depigmented", "pale"),
        "yellow": ("yellowish",),
        "purple": ("violet", "violaceous", "purplish"),
        "blue": ("bluish",),
        "grey": ("greyish", "grayish"),
        "skin-coloured": ("flesh-coloured", "skin colour", "skin tone", "flesh"),
    },
    "shape": {
        "round": ("circular", "rounded"),
        "oval": ("ovoid", "elliptical"),
        "irregular": ("irregularly shaped", "asymmetric", "asymmetrical"),
        "annular": ("ring-shaped", "ring-like"),
        "linear": ("line-shaped", "streak"),
        "polygonal": ("angular",),
    },
    "border": {
        "well-defined": (
            *("well defined", "well-demarcated", "sharp", "sharply demarcated", "clear"),
            *("distinct", "well-circumscribed", "circumscribed", "regular"),
        ),
        "ill-defined": (
            *("poorly defined", "indistinct", "blurred", "diffuse", "vague"),
            *("ill-demarcated", "poorly demarcated"),
        ),
        "irregular": ("notched", "jagged", "scalloped"),
        "rolled": ("pearly rolled", "raised rolled", "rolled edge", "rolled border"),
    },
    "surface": {
        "smooth": ("even",),
        "scaly": ("scaling", "scale", "flaky", "desquamating"),
        "crusted": ("crusty", "crust", "crusting", "scabbed"),
        "warty": ("verrucous", "papillomatous", "verruciform"),
        "ulcerated": ("eroded", "ulcerating", "erosion"),
        "shiny": ("glossy", "pearly", "waxy", "translucent"),
    },
    "distribution": {
        "solitary": ("isolated", "single", "localised", "localized"),
        "grouped": ("clustered", "herpetiform", "cluster"),
        "scattered": ("disseminated", "generalised", "generalized", "widespread"),
        "linear": ("along a line", "in a line"),
        "symmetric": ("symmetrical", "bilateral", "symmetrically distributed"),
    },
    "location": {
        "face": ("facial", "cheek", "forehead", "chin", "temple"),
        "nose": ("nasal",),
        "lip": ("perioral",),
        "ear": ("auricle", "pinna"),
        "chest": ("thorax", "breast"),
        "back": ("upper back", "lower back", "dorsum of trunk"),
        "abdomen": ("abdominal", "belly", "stomach"),
        "arm": ("upper arm",),
        "forearm": ("lower arm",),
        "hand": ("palm", "finger", "back of hand", "dorsum of hand"),
        "thigh": ("upper leg",),
        "leg": ("lower leg", "shin", "calf"),
        "foot": ("feet", "sole", "toe", "dorsum of foot"),
        "head": ("head and neck",),
        "trunk": ("torso",),
        "upper limb": ("upper extremity",),
        "lower limb": ("lower extremity",),
    },
    "number": {
        "single": ("one", "solitary"),
        "few": ("several", "two", "three", "a few", "a couple"),
        "many": ("multiple", "numerous", "countless"),
    },
}

# Pairs that two careful observers often exchange; they differ by size or shade only.
NEIGHBOURS: dict[str, tuple[tuple[str, str], ...]] = {
    "lesion_type": (
        *(("macule", "patch"), ("papule", "plaque"), ("papule", "nodule")),
        ("vesicle", "bulla"),
    ),
    "colour": (
        *(("red", "pink"), ("red", "purple"), ("brown", "black"), ("blue", "grey")),
        *(("blue", "purple"), ("black", "grey"), ("pink", "skin-coloured")),
    ),
    "shape": (("round", "oval"),),
    "border": (("ill-defined", "irregular"),),
    "surface": (("scaly", "crusted"), ("crusted", "ulcerated"), ("smooth", "shiny")),
    "distribution": (),
}

REGION_PARENTS: dict[str, str] = {
    **dict.fromkeys(("nose", "lip"), "face"),
    **dict.fromkeys(("face", "ear", "scalp", "neck"), "head"),
    **dict.fromkeys(("chest", "back", "abdomen"), "trunk"),
    **dict.fromkeys(("arm", "forearm", "hand"), "upper limb"),
    **dict.fromkeys(("thigh", "leg", "foot"), "lower limb"),
}
