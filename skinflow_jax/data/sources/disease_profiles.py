"""How each disease of the procedural source looks: weights per attribute, after the textbooks.

SYNTHETIC: the weights are our choice, rounded from common textbook descriptions; they are no
epidemiology. They overlap on purpose, so that no single attribute decides (a test checks it).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Table = Mapping[str, float]


@dataclass(frozen=True)
class Profile:
    """Weights of the values of each caption field; they need not sum to one.

    `second_colour` and `second_surface` give a probability that the value joins the first one.
    `many` is the probability of many rather than few lesions where there is more than one.
    """

    lesion_type: Table
    colour: Table
    shape: Table
    size: Table
    border: Table
    surface: Table
    distribution: Table
    location: Table
    many: float = 0.5
    second_colour: Table = field(default_factory=dict)
    second_surface: Table = field(default_factory=dict)


# Sizes that a lesion type can have: beyond them dermatologists use another word for it.
SIZES_OF_TYPE = {
    **dict.fromkeys(("macule", "papule", "vesicle", "pustule"), ("under 5 mm", "5-10 mm")),
    **dict.fromkeys(("patch", "plaque", "nodule", "bulla"), ("10-20 mm", "over 20 mm")),
    "wheal": ("5-10 mm", "10-20 mm", "over 20 mm"),
    "ulcer": ("5-10 mm", "10-20 mm", "over 20 mm"),
}


def _weights(text: str) -> dict[str, float]:
    """`"red 6, pink 4"` → `{"red": 6.0, "pink": 4.0}`."""
    pairs = (entry.rsplit(maxsplit=1) for entry in text.split(", "))
    return {value: float(weight) for value, weight in pairs}


def _sizes(under_5: float, to_10: float, to_20: float, over_20: float) -> dict[str, float]:
    return {"under 5 mm": under_5, "5-10 mm": to_10, "10-20 mm": to_20, "over 20 mm": over_20}


_SUN = "face 5, nose 2, ear 2, scalp 2, neck 2, forearm 2, hand 2"
_TRUNK = "chest 3, back 4, abdomen 3, arm 1, thigh 1"
_LIMBS = "arm 2, forearm 3, thigh 2, leg 3, hand 1, foot 1"

PROFILES: dict[str, Profile] = {
    "melanoma": Profile(
        lesion_type=_weights("patch 4, plaque 4, nodule 2"),
        colour=_weights("black 6, brown 3, blue 1"),
        second_colour=_weights("brown 0.35, blue 0.25, grey 0.2"),
        shape=_weights("irregular 8, oval 2"),
        size=_sizes(0, 1, 6, 3),
        border=_weights("irregular 9, ill-defined 1"),
        surface=_weights("smooth 6, ulcerated 2, crusted 1, shiny 1"),
        distribution=_weights("solitary 1"),
        location=_weights("back 4, leg 3, arm 2, face 1, chest 1, foot 1, scalp 1"),
    ),
    "melanocytic naevus": Profile(
        lesion_type=_weights("macule 5, papule 5"),
        colour=_weights("brown 7, black 1, skin-coloured 2"),
        shape=_weights("round 6, oval 4"),
        size=_sizes(4, 6, 0, 0),
        border=_weights("well-defined 9, ill-defined 1"),
        surface=_weights("smooth 9, warty 1"),
        distribution=_weights("solitary 7, scattered 3"),
        location=_weights(f"{_TRUNK}, face 3, neck 1, forearm 1, leg 1"),
        many=0.2,
    ),
    "basal cell carcinoma": Profile(
        lesion_type=_weights("papule 4, nodule 4, ulcer 2"),
        colour=_weights("pink 6, skin-coloured 3, red 1"),
        second_colour=_weights("grey 0.15"),
        shape=_weights("round 6, oval 3, irregular 1"),
        size=_sizes(0, 5, 5, 1),
        border=_weights("rolled 8, well-defined 2"),
        surface=_weights("shiny 6, ulcerated 3, crusted 1"),
        distribution=_weights("solitary 1"),
        location=_weights("nose 5, face 4, ear 2, neck 1, scalp 1, back 1"),
    ),
    "squamous cell carcinoma": Profile(
        lesion_type=_weights("nodule 5, plaque 3, ulcer 2"),
        colour=_weights("red 6, pink 3, skin-coloured 1"),
        second_colour=_weights("yellow 0.15"),
        shape=_weights("irregular 6, round 3, oval 1"),
        size=_sizes(0, 0, 7, 3),
        border=_weights("ill-defined 5, irregular 3, rolled 2"),
        surface=_weights("crusted 4, ulcerated 4, scaly 2"),
        second_surface=_weights("ulcerated 0.2"),
        distribution=_weights("solitary 1"),
        location=_weights("lip 4, ear 4, hand 3, scalp 3, face 2, forearm 1"),
    ),
    "actinic keratosis": Profile(
        lesion_type=_weights("macule 3, papule 5, plaque 2"),
        colour=_weights("pink 5, red 3, skin-coloured 1, brown 1"),
        shape=_weights("irregular 6, round 2, oval 2"),
        size=_sizes(4, 5, 1, 0),
        border=_weights("ill-defined 8, irregular 2"),
        surface=_weights("scaly 8, crusted 2"),
        second_surface=_weights("crusted 0.15"),
        distribution=_weights("solitary 3, grouped 3, scattered 4"),
        location=_weights("scalp 4, face 4, hand 3, forearm 3, ear 2, nose 1"),
        many=0.3,
    ),
    "seborrhoeic keratosis": Profile(
        lesion_type=_weights("papule 3, plaque 7"),
        colour=_weights("brown 7, black 2, grey 1, yellow 1"),
        shape=_weights("oval 5, round 4, irregular 1"),
        size=_sizes(1, 3, 6, 1),
        border=_weights("well-defined 9, irregular 1"),
        surface=_weights("warty 8, scaly 1, crusted 1"),
        distribution=_weights("solitary 5, scattered 5"),
        location=_weights("back 5, chest 3, face 2, scalp 1, neck 1, abdomen 1"),
        many=0.4,
    ),
    "dermatofibroma": Profile(
        lesion_type=_weights("papule 8, nodule 2"),
        colour=_weights("brown 6, pink 2, purple 1, red 1"),
        second_colour=_weights("pink 0.25"),
        shape=_weights("round 8, oval 2"),
        size=_sizes(1, 8, 1, 0),
        border=_weights("ill-defined 8, well-defined 2"),
        surface=_weights("smooth 8, scaly 1, shiny 1"),
        distribution=_weights("solitary 9, scattered 1"),
        location=_weights("leg 6, thigh 3, arm 2, forearm 1"),
        many=0.05,
    ),
    "cherry haemangioma": Profile(
        lesion_type=_weights("papule 9, macule 1"),
        colour=_weights("red 8, purple 2"),
        shape=_weights("round 9, oval 1"),
        size=_sizes(8, 2, 0, 0),
        border=_weights("well-defined 1"),
        surface=_weights("smooth 6, shiny 4"),
        distribution=_weights("scattered 7, solitary 3"),
        location=_weights("chest 4, abdomen 4, back 3, arm 1"),
        many=0.7,
    ),
    "psoriasis": Profile(
        lesion_type=_weights("plaque 1"),
        colour=_weights("red 6, pink 4"),
        second_colour=_weights("white 0.3"),
        shape=_weights("oval 4, round 3, irregular 3"),
        size=_sizes(0, 0, 4, 6),
        border=_weights("well-defined 9, irregular 1"),
        surface=_weights("scaly 9, crusted 1"),
        distribution=_weights("symmetric 6, scattered 2, solitary 2"),
        location=_weights("scalp 3, arm 2, forearm 3, leg 3, back 2, abdomen 1"),
        many=0.4,
    ),
    "tinea corporis": Profile(
        lesion_type=_weights("plaque 6, patch 4"),
        colour=_weights("red 5, pink 5"),
        shape=_weights("annular 9, round 1"),
        size=_sizes(0, 0, 4, 6),
        border=_weights("well-defined 9, irregular 1"),
        surface=_weights("scaly 8, smooth 2"),
        distribution=_weights("solitary 6, scattered 3, grouped 1"),
        location=_weights(f"{_TRUNK}, neck 1, face 1, forearm 2, leg 2"),
        many=0.2,
    ),
    "herpes zoster": Profile(
        lesion_type=_weights("vesicle 8, pustule 2"),
        colour=_weights("red 4, pink 3, yellow 3"),
        second_colour=_weights("purple 0.1"),
        shape=_weights("round 9, oval 1"),
        size=_sizes(6, 4, 0, 0),
        border=_weights("well-defined 9, ill-defined 1"),
        surface=_weights("smooth 6, crusted 2, shiny 2"),
        distribution=_weights("linear 7, grouped 3"),
        location=_weights("chest 5, back 4, abdomen 2, face 2, neck 1"),
        many=0.95,
    ),
    "impetigo": Profile(
        lesion_type=_weights("pustule 4, plaque 4, vesicle 2"),
        colour=_weights("yellow 6, red 3, brown 1"),
        second_colour=_weights("red 0.25"),
        shape=_weights("irregular 5, round 5"),
        size=_sizes(1, 5, 4, 0),
        border=_weights("ill-defined 4, irregular 3, well-defined 3"),
        surface=_weights("crusted 1"),
        distribution=_weights("grouped 7, scattered 3"),
        location=_weights("face 5, nose 3, lip 4, hand 1, leg 1"),
        many=0.6,
    ),
    "vitiligo": Profile(
        lesion_type=_weights("patch 7, macule 3"),
        colour=_weights("white 1"),
        shape=_weights("irregular 6, oval 2, round 2"),
        size=_sizes(0, 3, 3, 4),
        border=_weights("well-defined 7, irregular 3"),
        surface=_weights("smooth 1"),
        distribution=_weights("symmetric 7, scattered 3"),
        location=_weights("hand 5, face 4, foot 2, lip 1, neck 1, forearm 2, leg 1"),
        many=0.4,
    ),
    "urticaria": Profile(
        lesion_type=_weights("wheal 9, plaque 1"),
        colour=_weights("pink 6, red 3, skin-coloured 1"),
        shape=_weights("irregular 4, annular 3, oval 3"),
        size=_sizes(0, 2, 5, 3),
        border=_weights("well-defined 7, ill-defined 3"),
        surface=_weights("smooth 1"),
        distribution=_weights("scattered 8, grouped 2"),
        location=_weights(f"{_TRUNK}, {_LIMBS.replace('arm 2, ', '').replace('thigh 2, ', '')}"),
        many=0.7,
    ),
    "molluscum contagiosum": Profile(
        lesion_type=_weights("papule 1"),
        colour=_weights("skin-coloured 6, pink 3, white 1"),
        shape=_weights("round 1"),
        size=_sizes(8, 2, 0, 0),
        border=_weights("well-defined 1"),
        surface=_weights("shiny 7, smooth 3"),
        distribution=_weights("grouped 6, scattered 4"),
        location=_weights("abdomen 3, thigh 3, chest 2, arm 2, neck 2, face 2"),
        many=0.7,
    ),
    "lichen planus": Profile(
        lesion_type=_weights("papule 8, plaque 2"),
        colour=_weights("purple 9, red 1"),
        second_colour=_weights("white 0.2"),
        shape=_weights("polygonal 9, linear 1"),
        size=_sizes(3, 5, 2, 0),
        border=_weights("well-defined 1"),
        surface=_weights("shiny 6, smooth 2, scaly 2"),
        distribution=_weights("grouped 4, symmetric 3, scattered 2, linear 1"),
        location=_weights("forearm 6, leg 3, hand 2, foot 1, back 1"),
        many=0.7,
    ),
    "viral wart": Profile(
        lesion_type=_weights("papule 8, plaque 2"),
        colour=_weights("skin-coloured 5, grey 3, brown 2"),
        shape=_weights("round 6, irregular 4"),
        size=_sizes(3, 6, 1, 0),
        border=_weights("well-defined 9, irregular 1"),
        surface=_weights("warty 9, scaly 1"),
        distribution=_weights("solitary 4, grouped 5, linear 1"),
        location=_weights("hand 6, foot 4, forearm 1, face 1, leg 1"),
        many=0.3,
    ),
    "bullous pemphigoid": Profile(
        lesion_type=_weights("bulla 9, wheal 1"),
        colour=_weights("red 4, pink 3, yellow 2, skin-coloured 1"),
        second_colour=_weights("purple 0.1"),
        shape=_weights("round 5, oval 5"),
        size=_sizes(0, 0, 8, 2),
        border=_weights("well-defined 1"),
        surface=_weights("smooth 6, shiny 3, crusted 1"),
        distribution=_weights("scattered 6, grouped 2, symmetric 2"),
        location=_weights("thigh 4, abdomen 3, forearm 3, arm 2, leg 2"),
        many=0.4,
    ),
}
