"""Claims about our ontology: wide, consistent, with what a dermatologist would look for in it."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from skinflow_jax.clinical import find, ontology, relation
from skinflow_jax.clinical.names import read_name
from skinflow_jax.clinical.ontology_disease import SHARED

HERE = Path(__file__).parent
KNOWN = ontology()
DISEASES = list(KNOWN.diseases.values())
URGENT = ("urgent", "emergency")


def table(name):
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_is_found_by_its_name_and_its_synonyms_however_they_are_spelled():
    lost = [
        (name, disease.name)
        for disease in DISEASES
        for name in (disease.name, *disease.synonyms)
        for written in (name, f"{name.upper()}.\n")
        if find(written) is not disease
    ]
    assert lost == []


def test_an_abbreviation_may_stand_for_its_row():
    lost = [
        (short, disease.name)
        for disease in DISEASES
        for short in disease.abbreviations
        if disease not in read_name(short, KNOWN).diseases
    ]
    assert lost == []


def test_all_is_a_kind_of_skin_disease_or_of_another_root():
    roots = [d.name for d in DISEASES if not d.parents]
    assert "skin disease" in roots and len(roots) <= 3, roots
    assert not any(KNOWN.diseases[name].answerable for name in roots if name == "skin disease")


def test_kinds_of_an_answerable_disease_share_its_nature_infection_and_urgency():
    for disease in DISEASES:
        for above in map(KNOWN.diseases.get, KNOWN.ancestors(disease)):
            if above.answerable:
                for column in SHARED:
                    assert getattr(disease, column) == getattr(above, column), disease.name


def test_what_is_no_tumour_is_neither_benign_nor_malignant():
    wrong = [d.name for d in DISEASES if d.infection not in ("", "none") and d.tumour]
    assert wrong == []


def test_there_are_many_diseases_and_many_that_cannot_wait():
    answerable = [d for d in DISEASES if d.answerable]
    urgency = Counter(d.urgency for d in answerable)
    assert len(answerable) >= 1500 and urgency["urgent"] >= 25 and urgency["emergency"] >= 15
    labels = {row["label"] for row in labels_of("Fitzpatrick17k", "SCIN")}
    known = [found for found in map(find, labels) if found is not None]
    assert len({d.name for d in known if d.urgency in URGENT}) >= 12


@pytest.mark.parametrize("name", ["emergency", "urgent"])
def test_diseases_that_must_not_be_missed_are_known(name):
    emergencies = (
        *("necrotising fasciitis", "meningococcaemia", "staphylococcal scalded skin syndrome"),
        *("eczema herpeticum", "toxic epidermal necrolysis", "Stevens-Johnson syndrome"),
        *("purpura fulminans", "toxic shock syndrome", "gas gangrene", "ecthyma gangrenosum"),
        *("Rocky Mountain spotted fever", "anaphylaxis"),
    )
    urgent = (
        *("DRESS", "AGEP", "erythroderma", "angioedema", "Kawasaki disease", "calciphylaxis"),
        *(
            "acute graft versus host disease",
            "melanoma",
            "pemphigus vulgaris",
            "pyoderma gangrenosum",
        ),
        *("anthrax", "measles", "mpox", "cutaneous metastasis", "Merkel cell carcinoma"),
    )
    wanted = {"emergency": emergencies, "urgent": urgent}[name]
    found = {each: find(each) for each in wanted}
    assert [each for each, disease in found.items() if disease is None] == []
    least = ("emergency",) if name == "emergency" else URGENT
    assert [each for each, disease in found.items() if disease.urgency not in least] == []


def labels_of(*datasets):
    return [row for row in table("labels.csv") if row["dataset"] in datasets]


def test_every_label_of_a_data_set_is_a_node_or_a_stated_refusal():
    wrong = [
        (row["dataset"], row["label"], row["node"], found and found.name)
        for row in table("labels.csv")
        if ((found := find(row["label"])) and found.name) != (row["node"] or None)
    ]
    assert wrong == []
    assert all(bool(row["node"]) != bool(row["refusal"]) for row in table("labels.csv"))


def test_the_table_of_labels_has_those_of_the_files_at_hand(test_data):
    with (test_data / "data/fitzpatrick17k/fitzpatrick17k.csv").open(newline="") as file:
        labels = {row["label"] for row in csv.DictReader(file)}
    assert labels == {row["label"] for row in labels_of("Fitzpatrick17k")}
    paths = (test_data / "data/reference_terms/isic_diagnosis_paths.txt").read_text().splitlines()
    parts = {part for path in paths for part in path.split(":")}
    assert parts == {row["label"] for row in labels_of("ISIC archive")}


def test_forbidden_pairs_are_never_accepted():
    accepted = [
        (row["prediction"], row["reference"], row["why"])
        for row in table("forbidden_pairs.csv")
        if relation(row["prediction"], row["reference"]).accepted
    ]
    assert accepted == []


def test_natures_agree_with_the_partitions_of_fitzpatrick17k(test_data):
    with (test_data / "data/fitzpatrick17k/fitzpatrick17k.csv").open(newline="") as file:
        parts = {row["label"]: row["three_partition_label"] for row in csv.DictReader(file)}
    # Precancer stands among the malignant there.
    fitting = {
        "malignant": ("malignant", "in situ", "premalignant"),
        "benign": ("benign", "uncertain", "n/a"),
        "non-neoplastic": ("n/a", "benign", ""),
    }
    wrong = {
        label: (part, find(label).nature)
        for label, part in parts.items()
        if find(label).nature not in fitting[part]
    }
    assert wrong == OTHERWISE


# A clonal disease whose course differs: neither side is ours.
OTHERWISE = {"langerhans cell histiocytosis": ("non-neoplastic", "uncertain")}


def test_natures_agree_with_the_isic_diagnosis_paths(test_data):
    paths = (test_data / "data/reference_terms/isic_diagnosis_paths.txt").read_text().splitlines()
    compared, wrong = set(), []
    for path in paths:
        root, disease = path.split(":")[0], find(path.split(":")[-1])
        if root in ("Benign", "Malignant") and disease is not None and disease.answerable:
            compared.add(disease.name)
            fitting = {"Benign": ("benign", "n/a"), "Malignant": ("malignant", "in situ")}[root]
            # Ours says "uncertain" of some that they put on one side: that crosses nothing.
            wrong += [(path, disease.nature)] * (disease.nature not in (*fitting, "uncertain"))
    assert len(compared) >= 150
    assert wrong == []
