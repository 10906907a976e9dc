"""Claims about each published data set: what its columns become, and its own ways to be wrong."""

from collections import Counter

import pytest
from small_sets import GIVEAWAY, SETS, derm1m, derm7pt, ham10000, isic, milk10k, scin
from small_sets import photograph as draw

from skinflow_jax.data.sources.catalogue import open_source
from skinflow_jax.errors import InputError


def case(name, root, index=0, **changes):
    return open_source(name, SETS[name](root, **changes)).case(index)


def test_the_real_ham10000_is_what_its_paper_says(test_data):
    """The counts of Tschandl et al. 2018, table 1."""
    source = open_source("ham10000", test_data / "data" / "ham10000")
    cases = [source.case(index) for index in range(len(source))]
    codes = Counter(found.columns["dx"] for found in cases)
    assert sorted(codes.values()) == [115, 142, 327, 514, 1099, 1113, 6705] and codes["nv"] == 6705
    assert len({found.group for found in cases}) == 7470 and source.remarks == ()
    assert {found.diagnosis for found in cases} == set(source.diagnoses)
    assert source.images(0)[0].shape == (150, 200, 3)


def test_pad_ufes_20_is_the_same_whole_as_in_its_splits(test_data):
    root = test_data / "data" / "pad_ufes_20"
    source = open_source("pad_ufes_20", root)
    whole = {found.case_id: found for found in map(source.case, range(len(source)))}
    assert len(whole) == 235 and len({found.group for found in whole.values()}) == 220
    assert Counter(found.diagnosis for found in whole.values())["melanoma"] == 8
    first = next(iter(whole.values()))
    assert first.columns["biopsed"] in ("True", "False")


def test_pad_ufes_20(tmp_path):
    first, second = (case("pad_ufes_20", tmp_path, i) for i in range(2))
    assert (first.case_id, first.group, first.diagnosis) == ("PAT_1_1_1", "PAT_1", "melanoma")
    assert first.caption == {"size": "10-20 mm", "location": "face"}
    assert second.caption == {"location": "face"}, "0 is not measured"
    assert first.attributes == {"fitzpatrick": 2, "age": 60, "sex": "female"}
    assert first.columns["itch"] == "True"


def test_ham10000(tmp_path):
    source = open_source("ham10000", ham10000(tmp_path))
    first, second = source.case(0), source.case(1)
    assert (first.case_id, first.group, first.diagnosis) == ("ISIC_1", "HAM_1", "melanoma")
    assert first.attributes == {"age": 80, "sex": "male", "site": "back", "view": "dermoscopic"}
    assert first.views == ("dermoscopic",) and first.caption == {}
    assert second.attributes == {"site": "back", "view": "dermoscopic"}
    assert first.mask and not second.mask and source.mask(1, (16, 20)) is None
    assert source.mask(0, (16, 20)).all()


def test_a_mask_of_another_size_is_refused(tmp_path):
    source = open_source("ham10000", ham10000(tmp_path))
    draw(tmp_path / "masks" / "ISIC_1_segmentation.png", size=(5, 5), mode="L")
    with pytest.raises(InputError, match=r"a mask of \(5, 5\) pixels for an image of \(16, 20\)"):
        source.mask(0, (16, 20))


def test_a_lesion_of_two_diagnoses_is_left_out_and_told(tmp_path):
    source = open_source("ham10000", ham10000(tmp_path, lesion_id="HAM_2"))
    assert len(source) == 0
    assert "lesion HAM_2 has several dx: mel (1), nv (1)" in source.remarks[0]


def test_isic_after_2024(tmp_path):
    source = open_source("isic", isic(tmp_path))
    first, second, third = map(source.case, range(3))
    assert (first.case_id, first.group, first.diagnosis) == ("ISIC_1", "IP_1", "melanoma")
    assert first.attributes == {
        **{"fitzpatrick": 2, "age": 45, "sex": "female", "site": "Chest"},
        **{"malignancy": "malignant", "licence": "CC-BY", "view": "close-up"},
    }
    assert first.caption == {"size": "5-10 mm", "location": "chest"}
    assert second.views == ("dermoscopic",) and second.caption == {}
    assert second.group == "IP_1", "another image of the lesion names its patient"
    assert third.diagnosis == "" and third.attributes["malignancy"] == "benign"
    assert third.group == "ISIC_3"
    assert source.diagnoses == ("melanoma",)


def test_isic_before_2024(tmp_path):
    changes = dict.fromkeys(("diagnosis_1", "diagnosis_2", "diagnosis_3"), "")
    root = isic(tmp_path, **changes, benign_malignant="malignant", diagnosis="Nevus")
    found = open_source("isic", root).case(0)
    assert found.diagnosis == "melanocytic naevus" and found.attributes["malignancy"] == "malignant"


@pytest.mark.parametrize(
    ("levels", "diagnosis"),
    [
        (("Benign", "Benign melanocytic proliferations", "Nevus", "Nevus, Spitz"), "Spitz naevus"),
        (("Indeterminate", "x", "Solar or actinic keratosis"), "actinic keratosis"),
        (
            ("Benign", "Benign soft tissue proliferations - Vascular", "Glomus tumor"),
            "glomus tumour",
        ),
        (("Benign",), ""),
    ],
)
def test_the_deepest_level_of_an_isic_path_that_is_known_counts(tmp_path, levels, diagnosis):
    stated = {f"diagnosis_{n}": level for n, level in enumerate(levels, 1)}
    stated = dict.fromkeys(("diagnosis_2", "diagnosis_3"), "") | stated
    assert case("isic", tmp_path, **stated, lesion_id="", patient_id="").diagnosis == diagnosis


def test_images_of_other_licences_are_left_out_and_counted(tmp_path):
    root = isic(tmp_path)
    source = open_source("isic", root, {"licences": ["CC-BY", "CC-0"]})
    assert {source.case(i).attributes["licence"] for i in range(len(source))} == {"CC-BY"}
    assert "licences: CC-BY-NC (1)" in source.remarks[0]
    with pytest.raises(InputError, match=r"no image is under CC-0; its licences are CC-BY \(2\)"):
        open_source("isic", root, {"licences": ["CC-0"]})


def test_an_export_without_diagnoses_is_refused(tmp_path):
    isic(tmp_path)
    (tmp_path / "metadata.csv").write_text("isic_id,sex\nISIC_1,male\n")
    with pytest.raises(InputError, match="neither diagnosis_1 nor diagnosis nor benign_malignant"):
        open_source("isic", tmp_path)


def test_bcn20000_in_both_its_forms(tmp_path):
    first, second = (case("bcn20000", tmp_path / "own", i) for i in range(2))
    assert (first.case_id, first.group, first.diagnosis) == ("BCN_1", "BCN_L1", "melanoma")
    assert (second.group, second.diagnosis) == ("BCN_2", ""), "out of distribution is no diagnosis"
    exported = open_source("bcn20000", isic(tmp_path / "export"))
    assert exported.case(0).diagnosis == "melanoma"


def test_milk10k_has_two_images_a_lesion_in_one_order(tmp_path):
    source = open_source("milk10k", milk10k(tmp_path))
    first, second = source.case(0), source.case(1)
    assert first.views == second.views == ("close-up", "dermoscopic")
    assert [int(image[0, 0, 2]) for image in source.images(0)] == pytest.approx([1, 2], abs=2)
    assert (first.case_id, first.diagnosis) == ("IL_1", "melanoma")
    assert second.diagnosis == "inflammatory or infectious condition"
    assert first.attributes["skin_tone_class"] == 3 and first.caption == {"location": "head"}
    assert first.columns["dermoscopic"]["MONET_erythema"] == "0.31"
    assert first.columns["diagnosis_full"] == GIVEAWAY


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ({"MEL": "0.0"}, "lesion_id IL_1 has no class as its truth"),
        ({"NV": "1.0"}, "has MEL and NV as its truth; exactly one is 1"),
        ({"NV": "0.4"}, "row 2: NV is '0.4', expected a whole number from 0 to 1"),
    ],
)
def test_a_truth_that_is_not_one_hot_is_refused(tmp_path, truth, reason):
    source = open_source("milk10k", milk10k(tmp_path, truth))
    with pytest.raises(InputError, match=reason):
        source.case(0)
    assert source.case(1).diagnosis


def test_a_lesion_with_two_truths_is_left_out(tmp_path):
    source = open_source("milk10k", milk10k(tmp_path, {"lesion_id": "IL_2"}))
    assert [source.case(i).case_id for i in range(len(source))] == ["IL_1"]
    assert source.case(0).diagnosis == ""
    assert "rows 2, 3 of lesion_id IL_2 differ in INF, MEL: all left out" in source.remarks[0]


def test_two_images_of_one_kind_in_a_lesion_are_refused(tmp_path):
    source = open_source("milk10k", milk10k(tmp_path, image_type="clinical: close-up"))
    with pytest.raises(InputError, match="lesion IL_1 has several images of one kind"):
        source.case(0)


def test_ddi(tmp_path):
    first, second = (case("ddi", tmp_path, i) for i in range(2))
    assert (first.case_id, first.diagnosis) == ("1", "basal cell carcinoma")
    assert first.attributes == {"fitzpatrick_pair": "5-6", "malignancy": "malignant"}
    assert second.diagnosis == "leaf rust", "as the owner writes it"


def test_scin_weights_are_soft_labels(tmp_path):
    source = open_source("scin", scin(tmp_path))
    first, second = source.case(0), source.case(1)
    assert list(first.soft) == ["eczematous dermatitis", "acne", "psoriasis"]
    assert list(first.soft.values()) == pytest.approx([0.41, 0.3, 0.29])
    assert first.diagnosis == "eczematous dermatitis" and second.diagnosis == ""
    assert first.views == ("close-up", "at-distance") and second.views == ("close-up",)
    assert [int(image[0, 0, 2]) for image in source.images(0)] == [1, 2]
    assert first.caption == {"location": "arm"} and second.caption == {}
    assert first.attributes == {"fitzpatrick": 3, "age_group": "40-49", "sex": "female", "monk": 4}
    assert second.attributes == {"fitzpatrick": 5, "monk": 4}, "the dermatologist's, for none said"


def test_scin_ages_and_body_parts(tmp_path):
    parts = {"body_parts_arm": "", "body_parts_FOOT_SOLE": "YES"}
    found = case("scin", tmp_path, age_group="AGE_80_OR_ABOVE", **parts)
    assert found.attributes["age_group"] == "80+" and found.caption == {"location": "foot"}


@pytest.mark.parametrize(
    ("text", "soft"),
    [
        ("{'Eczema': 1.0}", {}),
        ("{'Eczema': 0.5, 'Psoriasis': 1.5}", {"psoriasis": 0.75, "eczematous dermatitis": 0.25}),
        ("{'Eczema': 0.5, 'eczematous dermatitis': 0.5}", {}),
        ("{}", {}),
        ("", {}),
    ],
)
def test_weights_sum_to_one_and_one_disease_is_certain(tmp_path, text, soft):
    found = case("scin", tmp_path, label={"weighted_skin_condition_label": text})
    assert found.soft == pytest.approx(soft)
    assert bool(found.diagnosis) == ("Eczema" in text)


@pytest.mark.parametrize(
    "text",
    [
        "{'Eczema': 'much'}",
        "{'Eczema': -1}",
        "{'Eczema': 0}",
        "{'Eczema': True}",
        "{'Eczema': 1e999}",
        "{3: 0.5}",
        "['Eczema']",
        "{'Eczema': 0.4",
        "__import__('os').getcwd()",
        "(" * 5000,
        "{'a': 1, " * 5000,
    ],
)
def test_a_cell_that_is_no_dictionary_of_weights_is_refused_and_never_run(tmp_path, text):
    source = open_source("scin", scin(tmp_path, {"weighted_skin_condition_label": text}))
    with pytest.raises(InputError, match=r"row 2: weighted_skin_condition_label is .*a dictionary"):
        source.case(0)
    assert source.case(1).case_id == "-101"


def test_derm7pt(tmp_path):
    source = open_source("derm7pt", derm7pt(tmp_path))
    first, second, third = map(source.case, range(3))
    assert first.diagnosis == "melanoma" and second.diagnosis == "dysplastic naevus"
    assert third.diagnosis == "", "miscellaneous is no diagnosis"
    assert first.views == ("clinical", "dermoscopic")
    assert [int(image[0, 0, 2]) for image in source.images(0)] == pytest.approx([0, 1], abs=2)
    assert first.caption == {"location": "back"} and second.caption == {}
    assert [found.split for found in (first, second, third)] == ["train", "", "test"]
    assert first.columns["pigment_network"] == "atypical"


def test_an_index_beyond_the_table_is_refused(tmp_path):
    derm7pt(tmp_path)
    (tmp_path / "meta" / "valid_indexes.csv").write_text("indexes\n3\n")
    with pytest.raises(InputError, match="row 2: indexes is '3', expected a number from 0 to 2"):
        open_source("derm7pt", tmp_path)
    (tmp_path / "meta" / "valid_indexes.csv").write_text("indexes\n0\n")
    with pytest.raises(InputError, match="indexes: is empty or in two splits"):
        open_source("derm7pt", tmp_path)


def test_derm1m_takes_the_deepest_level_where_there_is_no_label(tmp_path):
    levels = "inflammatory, infectious, tinea corporis"
    label = {"disease_label": "No definitive diagnosis", "hierarchical_disease_label": levels}
    assert case("derm1m", tmp_path, 0, **label).diagnosis == "tinea corporis"


def test_derm1m_takes_phrases_for_nothing_as_nothing(tmp_path):
    source = open_source("derm1m", derm1m(tmp_path))
    first, second = source.case(0), source.case(1)
    assert first.diagnosis == "acne vulgaris" and second.diagnosis == ""
    assert first.caption == {
        "lesion_type": ["papule", "pustule"],
        "colour": "red",
        "location": "face",
    }
    assert first.attributes == {"age": 24, "sex": "male", "site": "face"}
    assert second.caption == {} and second.attributes == {}
    assert "1 of 3 rows left out, their images are absent: elsewhere/a.jpg" in source.remarks


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("ham10000", {"dx": "xyz"}, "row 2: dx is 'xyz', expected one of akiec, bcc"),
        ("ham10000", {"age": "old"}, "row 2: age is 'old', expected a number from 0 to 120"),
        ("ham10000", {"lesion_id": ""}, "row 2: lesion_id is empty"),
        ("pad_ufes_20", {"region": "MOON"}, "row 2: region is 'MOON', expected one of"),
        ("pad_ufes_20", {"fitspatrick": "7"}, "row 2: fitspatrick is '7', expected a skin type"),
        ("isic", {"fitzpatrick_skin_type": "VII"}, "is 'VII', expected a skin type from 1 to 6"),
        ("bcn20000", {"diagnosis": "XX"}, "row 2: diagnosis is 'XX', expected one of AK"),
        ("milk10k", {"image_type": "other"}, "row 2: image_type is 'other', expected one of"),
        ("milk10k", {"age_approx": "61"}, "row 2: the two images of lesion IL_1 differ in age_app"),
        ("ddi", {"skin_tone": "7"}, "row 2: skin_tone is '7', expected one of 12, 34, 56"),
        ("ddi", {"malignant": "perhaps"}, "malignant is 'perhaps', expected True, False"),
        ("ddi", {"disease": ""}, "row 2: disease is empty"),
        ("scin", {"fitzpatrick_skin_type": "FST9"}, "is 'FST9', expected a skin type"),
        ("derm7pt", {"diagnosis": ""}, "row 2: diagnosis is empty"),
        ("fitzpatrick17k", {"label": "a new one"}, "label is 'a new one', expected one of the 114"),
        ("fitzpatrick17k", {"nine_partition_label": "x"}, "nine_partition_label is 'x', expected"),
        ("fitzpatrick17k", {"fitzpatrick_scale": "0"}, "fitzpatrick_scale is '0', expected a skin"),
    ],
)
def test_a_cell_outside_its_table_is_named_and_stops_no_other_row(tmp_path, name, change, reason):
    source = open_source(name, SETS[name](tmp_path, **change))
    with pytest.raises(InputError, match=reason) as caught:
        source.case(0)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert source.case(1).case_id


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ddi", {"DDI_file": "../000001.png"}),
        ("scin", {"image_1_path": "/etc/passwd"}),
        ("derm7pt", {"derm": "../../secret.jpg"}),
        ("scin", {"image_1_path": "https://example.org/1.png"}),
    ],
)
def test_no_table_opens_a_file_outside_its_folder(tmp_path, name, change):
    draw(tmp_path / "000001.png")
    draw(tmp_path / "secret.jpg")
    source = open_source(name, SETS[name](tmp_path / "root", **change))
    with pytest.raises(InputError, match=r"row 2: .*(leaves|is the address)"):
        source.images(0)
    assert source.images(1)
