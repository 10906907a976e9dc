"""What each of SkinCon's 48 concepts says in the caption schema, and which say nothing there.

Daneshjou et al., "SkinCon: A skin disease dataset densely annotated by domain experts", NeurIPS
2022: the names of the columns. The mapping is ours. That a concept was not noted says nothing: only
what an annotator marked becomes a value.
"""

from collections.abc import Iterable

from skinflow_jax.data.sources.case import Caption

CONCEPTS: dict[str, tuple[str, str] | None] = {
    "Vesicle": ("lesion_type", "vesicle"),
    "Papule": ("lesion_type", "papule"),
    "Macule": ("lesion_type", "macule"),
    "Plaque": ("lesion_type", "plaque"),
    "Abscess": None,
    "Pustule": ("lesion_type", "pustule"),
    "Bulla": ("lesion_type", "bulla"),
    "Patch": ("lesion_type", "patch"),
    "Nodule": ("lesion_type", "nodule"),
    "Ulcer": ("lesion_type", "ulcer"),
    "Crust": ("surface", "crusted"),
    "Erosion": ("surface", "ulcerated"),
    "Excoriation": None,
    "Atrophy": None,
    "Exudate": None,
    "Purpura/Petechiae": None,  # red, purple or brown with age
    "Fissure": None,
    "Induration": None,
    "Xerosis": None,
    "Telangiectasia": None,
    "Scale": ("surface", "scaly"),
    "Scar": None,
    "Friable": None,
    "Sclerosis": None,
    "Pedunculated": None,
    "Exophytic/Fungating": None,
    "Warty/Papillomatous": ("surface", "warty"),
    "Dome-shaped": None,
    "Flat topped": None,
    "Brown(Hyperpigmentation)": ("colour", "brown"),
    "Translucent": ("surface", "shiny"),
    "White(Hypopigmentation)": ("colour", "white"),
    "Purple": ("colour", "purple"),
    "Yellow": ("colour", "yellow"),
    "Black": ("colour", "black"),
    "Erythema": ("colour", "red"),
    "Comedo": None,
    "Lichenification": None,
    "Blue": ("colour", "blue"),
    "Umbilicated": None,
    "Poikiloderma": None,
    "Salmon": ("colour", "pink"),
    "Wheal": ("lesion_type", "wheal"),
    "Acuminate": None,
    "Burrow": None,
    "Gray": ("colour", "grey"),
    "Pigmented": None,  # of any colour
    "Cyst": None,
}


def caption_of_concepts(concepts: Iterable[str]) -> Caption:
    """The fields that marked concepts state; a column that is not SkinCon's states none."""
    found: dict[str, list[str]] = {}
    for concept in concepts:
        if stated := CONCEPTS.get(concept):
            field, value = stated
            found.setdefault(field, []).append(value)
    return {field: values[0] if len(values) == 1 else values for field, values in found.items()}
