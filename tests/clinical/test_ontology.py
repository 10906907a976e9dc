"""Claims about the ontology: consistent tables, forgiving look-up, no confusion of near names."""

import csv
import json

import pytest

from skinflow_jax.clinical import ONTOLOGY, find
from skinflow_jax.clinical import ontology as module
from skinflow_jax.clinical.ontology import ancestors, mentions_disease
from skinflow_jax.clinical.ontology_terms import MALIGNANCIES, MANAGEMENTS, URGENCIES

HAM10000 = {
    "akiec": "intraepithelial keratinocytic neoplasia",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic naevus",
    "vasc": "benign vascular lesion",
}
PAD_UFES_20 = {
    "ACK": "actinic keratosis",
    "BCC": "basal cell carcinoma",
    "MEL": "melanoma",
    "NEV": "melanocytic naevus",
    "SCC": "squamous cell carcinoma",
    "SEK": "seborrhoeic keratosis",
}


@pytest.mark.parametrize("disease", ONTOLOGY.values(), ids=lambda disease: disease.name)
def test_each_entry_is_found_by_every_name_and_uses_the_vocabularies(disease):
    for name in (disease.name, *disease.synonyms):
        assert find(name) is disease
        assert find(f"{name.upper()}.\n") is disease
    assert disease.malignancy in MALIGNANCIES
    assert disease.management in MANAGEMENTS
    assert disease.urgency in URGENCIES
    assert disease.name not in ancestors(disease)
    assert set(disease.parents) <= ancestors(disease) <= set(ONTOLOGY)
    assert disease.name == "skin disease" or "skin disease" in ancestors(disease)


@pytest.mark.parametrize("disease", ONTOLOGY.values(), ids=lambda disease: disease.name)
def test_a_specific_entry_is_never_of_mixed_nature(disease):
    mixed = disease.malignancy == "mixed" or disease.infection is None
    assert mixed is not disease.specific


def test_a_kind_of_something_never_crosses_its_nature():
    for disease in ONTOLOGY.values():
        for above in map(ONTOLOGY.get, ancestors(disease)):
            if above.specific:
                assert {disease.malignancy, above.malignancy} != {"benign", "malignant"}
                assert disease.infection == above.infection


def test_the_ontology_is_wide():
    assert sum(disease.specific for disease in ONTOLOGY.values()) >= 180


@pytest.mark.parametrize(("code", "name"), [*HAM10000.items(), *PAD_UFES_20.items()])
def test_data_set_codes_are_known(code, name):
    assert find(code).name == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Hemangiomas", "benign vascular lesion"),
        ("cherry hemangioma", "cherry haemangioma"),
        ("nevi", "melanocytic naevus"),
        ("Melanocytic Nevus", "melanocytic naevus"),
        ("seborrheic keratoses", "seborrhoeic keratosis"),
        ("cafe-au-lait macules", "café-au-lait macule"),
        ("Bowen's disease", "Bowen disease"),
        ("Bowens disease", "Bowen disease"),
        ("Stevens Johnson Syndrome", "Stevens-Johnson syndrome"),
        ("Basal cell carcinoma (BCC).", "basal cell carcinoma"),
        ("verrucae", "viral wart"),
        ("morphoea", "morphoea"),
        ("Solar lentigines", "solar lentigo"),
    ],
)
def test_spelling_plural_accent_and_case_do_not_matter(written, name):
    assert find(written).name == name


@pytest.mark.parametrize(
    "written",
    [
        *("", "e", ".", "not melanoma", "no melanoma", "melanoma or nevus", "melanoma/nevus"),
        *("melanoma (BCC)", "melanoma (unsure)", "melanom", "cell carcinoma", "\ud800"),
    ],
)
def test_what_is_not_one_name_is_not_found(written):
    assert find(written) is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a | b | \nc | b | ", "names"),
        ("a | | z", "missing parent"),
        ("a | | c\nc | | a", "cycle"),
        ("a | | \na | | ", "twice"),
    ],
)
def test_an_inconsistent_table_is_refused(monkeypatch, table, message):
    monkeypatch.setattr(module, "BROAD_CLASSES", table)
    monkeypatch.setattr(module, "SPECIFIC_CLASSES", [])
    monkeypatch.setattr(module, "DISEASES", [])
    with pytest.raises(ValueError, match=message):
        diseases = module._load()
        module._index(diseases)
        module._close(diseases)


def test_names_are_found_inside_text_and_plain_signs_are_not():
    assert mentions_disease("a nodule typical of basal-cell carcinomas") == "basal cell carcinoma"
    assert mentions_disease("looks like BCC") == "basal cell carcinoma"
    assert mentions_disease("a scaly plaque with telangiectasia and erythema") is None


def test_every_label_of_fitzpatrick17k_is_known(test_data):
    labels = json.loads((test_data / "data/fitzpatrick17k/labels_hierarchy.json").read_text())
    assert [label for label in labels if find(label) is None] == []


def test_cancers_of_fitzpatrick17k_are_malignant_or_premalignant(test_data):
    labels = json.loads((test_data / "data/fitzpatrick17k/labels_hierarchy.json").read_text())
    for label, row in labels.items():
        if row["three"] == "malignant":
            assert find(label).malignancy in ("malignant", "premalignant"), label
        elif row["three"] == "benign":
            assert find(label).malignancy == "benign", label


def test_common_diseases_bear_the_names_of_the_disease_ontology(test_data):
    path = test_data / "data/reference_terms/disease_ontology.tsv"
    with path.open(newline="") as file:
        labels = {row["label"] for row in csv.DictReader(file, delimiter="\t")}
    known = {disease.name for disease in map(find, labels) if disease is not None}
    assert len(known) >= 80
    assert {"melanoma", "basal cell carcinoma", "psoriasis", "vitiligo", "scabies"} <= known


def test_benign_and_malignant_agree_with_the_isic_diagnosis_paths(test_data):
    paths = (test_data / "data/reference_terms/isic_diagnosis_paths.txt").read_text().splitlines()
    compared = set()
    for path in paths:
        root, leaf = path.split(":")[0], path.split(":")[-1]
        disease = find(leaf)
        if root in ("Benign", "Malignant") and disease is not None:
            compared.add(disease.name)
            assert disease.malignancy in (root.lower(), "mixed"), path
    assert len(compared) >= 20
