"""A tiny data set of each source in the form its owners publish it, drawn and written by the tests.

Cells that give the diagnosis away hold the word GIVEAWAY where the source lets them.
"""

import csv
from pathlib import Path

from PIL import Image

GIVEAWAY = "zzgiveaway"


def photograph(path: Path, colour: int = 0, mode: str = "RGB", size=(20, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 150, colour)).convert(mode).save(path)
    return path


def table(path: Path, rows: list[dict], **options) -> Path:
    """A CSV file whose header is the keys of all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="", **options)
        writer.writeheader()
        writer.writerows(rows)
    return path


def fitzpatrick17k(root: Path, **first) -> Path:
    good = {
        "md5hash": "0" * 32,
        "fitzpatrick_scale": "3",
        "fitzpatrick_centaur": "4",
        "label": "superficial spreading melanoma ssm",
        "nine_partition_label": "malignant melanoma",
        "three_partition_label": "malignant",
        "qc": "",
        "url": f"https://atlas.example/{GIVEAWAY}/1.jpg",
        "url_alphanum": f"atlas{GIVEAWAY}1jpg",
    }
    second = {
        "md5hash": "1" * 32,
        "fitzpatrick_scale": "-1",
        "label": "naevus comedonicus",
        "nine_partition_label": "benign epidermal",
        "three_partition_label": "benign",
    }
    wrong = second | {"md5hash": "2" * 32, "qc": "3 Wrongly labelled"}
    absent = second | {"md5hash": "3" * 32}
    table(root / "fitzpatrick17k.csv", [good | first, good | second, wrong, good | absent])
    photograph(root / "images" / f"{'0' * 32}.jpg")
    photograph(root / "images" / f"{'1' * 32}.webp", 1)
    return root


def pad_ufes_20(root: Path, **first) -> Path:
    good = {
        "patient_id": "PAT_1",
        "lesion_id": "1",
        "age": "60",
        "fitspatrick": "2.0",
        "gender": "FEMALE",
        "region": "FACE",
        "diameter_1": "6.0",
        "diameter_2": "11.0",
        "diagnostic": "MEL",
        "itch": "True",
        "img_id": "PAT_1_1_1.png",
        "biopsed": GIVEAWAY,
    }
    second = good | {"img_id": "PAT_2_2_2.png", "patient_id": "PAT_2", "diameter_2": "0"}
    table(root / "metadata.csv", [good | first, second])
    photograph(root / "imgs_part_1" / "PAT_1_1_1.jpg")
    photograph(root / "imgs_part_2" / "PAT_2_2_2.png", 1)
    return root


def ham10000(root: Path, **first) -> Path:
    good = {
        "lesion_id": "HAM_1",
        "image_id": "ISIC_1",
        "dx": "mel",
        "dx_type": GIVEAWAY,
        "age": "80.0",
        "sex": "male",
        "localization": "back",
    }
    second = good | {"image_id": "ISIC_2", "lesion_id": "HAM_2", "dx": "nv"}
    second |= {"age": "", "sex": "unknown"}
    table(root / "HAM10000_metadata.csv", [good | first, second])
    photograph(root / "HAM10000_images_part_1" / "ISIC_1.jpg")
    photograph(root / "HAM10000_images_part_2" / "ISIC_2.jpg", 1)
    photograph(root / "masks" / "ISIC_1_segmentation.png", 255, "L")
    return root


def isic(root: Path, name: str = "metadata.csv", **first) -> Path:
    good = {
        "isic_id": "ISIC_1",
        "attribution": "A hospital",
        "copyright_license": "CC-BY",
        "age_approx": "45",
        "anatom_site_general": "anterior torso",
        "anatom_site_special": "",
        "anatom_site_1": "Trunk",
        "anatom_site_2": "Chest",
        "diagnosis_1": "Malignant",
        "diagnosis_2": "Malignant melanocytic proliferations (Melanoma)",
        "diagnosis_3": "Melanoma, NOS",
        "diagnosis_confirm_type": GIVEAWAY,
        "clin_size_long_diam_mm": "7.5",
        "fitzpatrick_skin_type": "II",
        "concomitant_biopsy": GIVEAWAY,
        "mel_thick_mm": GIVEAWAY,
        "patient_id": "IP_1",
        "lesion_id": "IL_1",
        "image_type": "clinical: close-up",
        "sex": "female",
    }
    rows = [
        good | first,
        good | {"isic_id": "ISIC_2", "patient_id": "", "image_type": "dermoscopic"},
        good
        | {
            "isic_id": "ISIC_3",
            "patient_id": "",
            "lesion_id": "",
            "copyright_license": "CC-BY-NC",
            "diagnosis_1": "Benign",
            "diagnosis_2": "",
            "diagnosis_3": "",
        },
    ]
    table(root / name, rows)
    for n in (1, 2, 3):
        photograph(root / "images" / f"ISIC_{n}.jpg", n)
    return root


def bcn20000(root: Path, **first) -> Path:
    good = {
        "bcn_filename": "BCN_1.jpg",
        "age_approx": "55.0",
        "anatom_site_general": "anterior torso",
        "anatom_site_special": "",
        "diagnosis": "MEL",
        "lesion_id": "BCN_L1",
        "sex": "female",
    }
    second = good | {"bcn_filename": "BCN_2.jpg", "diagnosis": "OOD", "lesion_id": ""}
    table(root / "bcn_20k_train.csv", [good | first, second])
    photograph(root / "BCN_20k_train" / "BCN_1.jpg")
    photograph(root / "BCN_20k_train" / "BCN_2.jpg", 1)
    return root


def milk10k(root: Path, truth: dict | None = None, **first) -> Path:
    codes = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
    good = {
        "lesion_id": "IL_1",
        "image_type": "dermoscopic",
        "isic_id": "ISIC_2",
        "copyright_license": "CC-BY-NC",
        "age_approx": "60",
        "sex": "male",
        "skin_tone_class": "3",
        "site": "head_neck_face",
        "MONET_erythema": "0.31",
    }
    close = good | {"image_type": "clinical: close-up", "isic_id": "ISIC_1"}
    other = [
        row | {"lesion_id": "IL_2", "isic_id": f"ISIC_{n}"} for n, row in ((3, close), (4, good))
    ]
    table(root / "MILK10k_Training_Metadata.csv", [good | first, close, *other])
    zeros = dict.fromkeys(codes, "0.0")
    table(
        root / "MILK10k_Training_GroundTruth.csv",
        [
            {"lesion_id": "IL_1"} | zeros | {"MEL": "1.0"} | (truth or {}),
            {"lesion_id": "IL_2"} | zeros | {"INF": "1.0"},
        ],
    )
    table(
        root / "MILK10k_Training_Supplement.csv",
        [{"isic_id": "ISIC_1", "diagnosis_full": GIVEAWAY, "diagnosis_confirm_type": GIVEAWAY}],
    )
    for n in (1, 2, 3, 4):
        photograph(root / "MILK10k_Training_Input" / f"IL_{(n + 1) // 2}" / f"ISIC_{n}.jpg", n)
    return root


def ddi(root: Path, **first) -> Path:
    good = {
        "": "0",
        "DDI_ID": "1",
        "DDI_file": "000001.png",
        "skin_tone": "56",
        "malignant": "True",
        "disease": "basal-cell-carcinoma",
    }
    second = {"": "1", "DDI_ID": "2", "DDI_file": "000002.png", "skin_tone": "12"}
    second |= {"malignant": "False", "disease": "leaf rust"}
    table(root / "ddi_metadata.csv", [good | first, second])
    photograph(root / "000001.png")
    photograph(root / "000002.png", 1)
    return root


def scin(root: Path, label: dict | None = None, **first) -> Path:
    good = {
        "case_id": "-100",
        "age_group": "AGE_40_TO_49",
        "sex_at_birth": "FEMALE",
        "fitzpatrick_skin_type": "FST3",
        "body_parts_arm": "YES",
        "body_parts_leg": "",
        "image_1_path": "dataset/images/1.png",
        "image_2_path": "dataset/images/2.png",
        "image_3_path": "",
        "image_1_shot_type": "CLOSE_UP",
        "image_2_shot_type": "AT_DISTANCE",
    }
    second = good | {
        "case_id": "-101",
        "image_1_path": "dataset/images/3.png",
        "image_2_path": "",
        "fitzpatrick_skin_type": "NONE_SELECTED",
        "body_parts_leg": "YES",
        "age_group": "AGE_UNKNOWN",
        "sex_at_birth": "OTHER_OR_UNSPECIFIED",
    }
    table(root / "scin_cases.csv", [good | first, second])
    told = {
        "case_id": "-100",
        "dermatologist_skin_condition_on_label_name": f"['{GIVEAWAY}']",
        "dermatologist_skin_condition_confidence": "[4]",
        "weighted_skin_condition_label": "{'Psoriasis': 0.29, 'Eczema': 0.41, 'Acne': 0.3}",
        "dermatologist_fitzpatrick_skin_type_label_1": "FST5",
        "monk_skin_tone_label_us": "4.0",
    }
    table(
        root / "scin_labels.csv",
        [told | (label or {}), told | {"case_id": "-101", "weighted_skin_condition_label": "{}"}],
    )
    for n in (1, 2, 3):
        photograph(root / "images" / f"{n}.png", n)
    return root


def derm7pt(root: Path, **first) -> Path:
    good = {
        "case_num": "1",
        "diagnosis": "melanoma (less than 0.76 mm)",
        "seven_point_score": "5",
        "pigment_network": "atypical",
        "streaks": "irregular",
        "level_of_diagnostic_difficulty": GIVEAWAY,
        "elevation": "flat",
        "location": "back",
        "sex": "female",
        "clinic": "NEL/NEL001.JPG",
        "derm": "NEL/NEL002.jpg",
        "case_id": GIVEAWAY,
        "management": GIVEAWAY,
        "notes": f"{GIVEAWAY},\nseen twice",
    }
    second = good | {"case_num": "2", "diagnosis": "clark nevus", "location": "buttocks"}
    third = good | {"case_num": "3", "diagnosis": "miscellaneous"}
    table(root / "meta" / "meta.csv", [good | first, second, third])
    table(root / "meta" / "train_indexes.csv", [{"indexes": "0"}])
    table(root / "meta" / "test_indexes.csv", [{"indexes": "2"}])
    photograph(root / "images" / "NEL" / "NEL001.jpg")
    photograph(root / "images" / "NEL" / "NEL002.jpg", 1)
    return root


def derm1m(root: Path, **first) -> Path:
    good = {
        "filename": "pubmed/a.jpg",
        "caption": f"A {GIVEAWAY},\nin a man",
        "truncated_caption": GIVEAWAY,
        "disease_label": "acne vulgaris",
        "hierarchical_disease_label": f"inflammatory, {GIVEAWAY}, acne vulgaris",
        "skin_concept": "papule, pustule, erythema, comedo",
        "body_location": "face",
        "symptoms": GIVEAWAY,
        "age": "24 years old",
        "gender": "male",
        "source": GIVEAWAY,
        "source_type": GIVEAWAY,
    }
    nothing = {
        "filename": "youtube/b.jpg",
        "disease_label": "No definitive diagnosis",
        "hierarchical_disease_label": "No definitive diagnosis",
        "skin_concept": "No visual concepts",
        "body_location": "No body location information",
        "age": "No age information",
        "gender": "No gender information",
    }
    absent = good | {"filename": "elsewhere/a.jpg"}
    table(root / "Derm1M_v2_pretrain.csv", [good | first, good | nothing, absent])
    photograph(root / "pubmed" / "a.jpg")
    photograph(root / "youtube" / "b.jpg", 1)
    return root


def folder(root: Path) -> Path:
    photograph(root / "basal-cell_carcinoma" / "P1_a.jpg")
    photograph(root / "sézary syndrome" / "deeper" / "P2_b.png", 1)
    return root


def own_csv(root: Path, **first) -> Path:
    good = {
        "image": "a.jpg",
        "close": "b.jpg",
        "patient": "P1",
        "label": "MM",
        "site": "back",
        "skin": "IV",
        "years": "40",
        "note": GIVEAWAY,
    }
    second = good | {"image": "b.jpg", "close": "", "patient": "P2", "label": "Naevus"}
    table(root / "cases.csv", [good | first, second])
    photograph(root / "a.jpg")
    photograph(root / "b.jpg", 1)
    return root


SETS = {
    "fitzpatrick17k": fitzpatrick17k,
    "pad_ufes_20": pad_ufes_20,
    "ham10000": ham10000,
    "isic": isic,
    "bcn20000": bcn20000,
    "milk10k": milk10k,
    "ddi": ddi,
    "scin": scin,
    "derm7pt": derm7pt,
    "derm1m": derm1m,
    "folder": folder,
    "csv": own_csv,
}
