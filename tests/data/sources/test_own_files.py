"""Claims about what people bring: a folder a class, and a table with columns of their own names."""

import os

import pytest
from small_sets import folder, own_csv, photograph

from skinflow_jax.data.sources.catalogue import open_source
from skinflow_jax.errors import ConfigError, InputError

COLUMNS = {
    "image_columns": ["image", "close"],
    "views": ["clinical", "close-up"],
    "group_column": "patient",
    "diagnosis_column": "label",
    "labels": {"MM": "melanoma", "Naevus": "Naevus"},
    "caption": {"location": "site"},
    "attributes": {"fitzpatrick": "skin", "age": "years", "clinic": "note"},
}


def cases(source):
    return [source.case(index) for index in range(len(source))]


def test_a_folder_a_class(tmp_path):
    source = open_source("folder", folder(tmp_path))
    first, second = cases(source)
    assert [first.case_id, second.case_id] == [
        "basal-cell_carcinoma/P1_a.jpg",
        "sézary syndrome/deeper/P2_b.png",
    ]
    assert first.diagnosis == "basal cell carcinoma" and second.diagnosis == "Sézary syndrome"
    assert first.group == first.case_id and first.split == "" and source.remarks == ()
    assert source.images(1)[0].shape == (16, 20, 3)
    assert source.diagnoses == ("Sézary syndrome", "basal cell carcinoma")


def test_folders_called_train_and_test_are_splits(tmp_path):
    folder(tmp_path / "train")
    folder(tmp_path / "Test")
    found = cases(open_source("folder", tmp_path))
    assert sorted({case.split for case in found}) == ["Test", "train"] and len(found) == 4
    assert {case.diagnosis for case in found} == {"basal cell carcinoma", "Sézary syndrome"}


def test_the_patient_stands_in_the_name(tmp_path):
    folder(tmp_path)
    source = open_source("folder", tmp_path, {"group_pattern": "(P[0-9]+)_"})
    assert [case.group for case in cases(source)] == ["P1", "P2"]
    photograph(tmp_path / "wart" / "c.jpg")
    source = open_source("folder", tmp_path, {"group_pattern": "(P[0-9]+)_"})
    with pytest.raises(InputError, match=r"wart/c\.jpg: .*finds no patient in it"):
        source.case(2)
    assert source.case(0).group == "P1"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("(", "is no regular expression"), ("P", "has 0 groups"), ("(a)(b)", "2")],
)
def test_a_pattern_that_cannot_name_a_patient_is_refused(tmp_path, pattern, reason):
    with pytest.raises(ConfigError, match=f"group_pattern=.*{reason}"):
        open_source("folder", folder(tmp_path), {"group_pattern": pattern})


def test_labels_rename_folders_and_refuse_others(tmp_path):
    photograph(tmp_path / "mm" / "a.jpg")
    photograph(tmp_path / "other" / "a.jpg")
    source = open_source("folder", tmp_path, {"labels": {"mm": "malignant melanoma"}})
    assert source.case(0).diagnosis == "melanoma" and source.diagnoses == ("melanoma",)
    with pytest.raises(InputError, match=r"other/a\.jpg: its folder 'other' is none of .*: mm"):
        source.case(1)


def test_what_stands_in_no_class_or_is_no_image_is_counted(tmp_path):
    folder(tmp_path)
    photograph(tmp_path / "loose.jpg")
    (tmp_path / "sézary syndrome" / "notes.txt").write_text("x")
    (tmp_path / "sézary syndrome" / ".DS_Store").write_text("x")
    source = open_source("folder", tmp_path)
    assert len(source) == 2
    assert "1 images left out, they stand in no folder of a class, first " in source.remarks[0]
    assert "1 files left out, they are no images by their endings" in source.remarks[1]


def test_blank_and_hostile_names_are_refused_one_by_one(tmp_path):
    folder(tmp_path)
    photograph(tmp_path / " " / "a.jpg")
    raw = os.fsencode(tmp_path) + b"/wart"
    os.mkdir(raw)
    os.rename(photograph(tmp_path / "x.jpg"), raw + b"/\xff.jpg")
    source = open_source("folder", tmp_path)
    reasons = []
    for index in range(len(source)):
        try:
            source.case(index)
        except InputError as error:
            reasons.append(str(error))
    assert len(reasons) == 2 and all(reason.isprintable() for reason in reasons)
    assert "has a blank name" in " ".join(reasons) and "no UTF-8" in " ".join(reasons)


def test_text_named_jpg_and_a_link_out_of_the_folder_are_refused_by_name(tmp_path):
    root = folder(tmp_path / "root")
    (root / "sézary syndrome" / "text.jpg").write_text("no image")
    (root / "sézary syndrome" / "link.jpg").symlink_to(photograph(tmp_path / "secret.jpg"))
    source = open_source("folder", root)
    reasons = {}
    for index in range(len(source)):
        try:
            source.images(index)
        except InputError as error:
            reasons[source.case(index).case_id] = str(error)
    assert set(reasons) == {"sézary syndrome/text.jpg", "sézary syndrome/link.jpg"}
    assert "none of JPEG" in reasons["sézary syndrome/text.jpg"]
    assert "is a link that leaves" in reasons["sézary syndrome/link.jpg"]


def test_a_folder_without_classes_is_refused(tmp_path):
    photograph(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"no image stands in a folder of its class.*melanoma/a"):
        open_source("folder", tmp_path)


def test_columns_named_in_the_config(tmp_path):
    source = open_source("csv", own_csv(tmp_path), COLUMNS)
    first, second = cases(source)
    assert (first.case_id, first.group, first.diagnosis) == ("a.jpg", "P1", "melanoma")
    assert first.views == ("clinical", "close-up") and second.views == ("clinical",)
    assert [int(image[0, 0, 2]) for image in source.images(0)] == pytest.approx([0, 1], abs=2)
    assert first.caption == {"location": "back"}
    assert first.attributes == {"fitzpatrick": 4, "age": 40, "clinic": "zzgiveaway"}
    assert second.diagnosis == "melanocytic naevus" and source.diagnoses[0] == "melanocytic naevus"
    assert first.prompt == first.answer == ""


def test_a_row_may_ask_and_answer_for_itself(tmp_path):
    own_csv(tmp_path, ask="Worse <image> than <image>?", reply="yes")
    options = {
        "image_columns": ["image", "close"],
        "prompt_column": "ask",
        "answer_column": "reply",
    }
    source = open_source("csv", tmp_path, options)
    assert source.case(0).prompt == "Worse <image> than <image>?"
    assert source.case(0).answer == "yes"
    with pytest.raises(InputError, match="row 3: ask is empty"):
        source.case(1)
    own_csv(tmp_path, ask="Worse <image>?", reply="yes")
    with pytest.raises(InputError, match="row 2: ask: the question has 1 <image> marks"):
        open_source("csv", tmp_path, options).case(0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "zz"}, "row 2: label is 'zz', expected one of MM, Naevus"),
        ({"patient": ""}, "row 2: patient is empty"),
        ({"image": "", "close": ""}, "row 2: image is empty"),
        ({"site": "the moon"}, "row 2: site is 'the moon', expected face, nose"),
        ({"site": "back | face"}, "row 2: site is 'back . face', expected one value"),
        ({"skin": "9"}, "row 2: skin is '9', expected a skin type"),
        ({"image": "../a.jpg"}, r"row 2: image is \.\./a\.jpg, which leaves"),
        ({"image": "http://x.org/a.jpg"}, "row 2: image is the address"),
    ],
)
def test_a_bad_cell_is_named_and_stops_no_other_row(tmp_path, change, reason):
    source = open_source("csv", own_csv(tmp_path, **change), COLUMNS)
    with pytest.raises(InputError, match=reason):
        source.case(0)
        source.images(0)
    assert source.case(1).diagnosis


def test_a_file_with_two_labels_is_left_out_and_told(tmp_path):
    source = open_source("csv", own_csv(tmp_path, image="b.jpg"), COLUMNS)
    assert len(source) == 0 and "rows 2, 3 of image b.jpg differ in close" in source.remarks[0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"diagnosis_column": "dx"}, "needs a column 'dx' .has image, close"),
        ({"image_columns": ["a", "a"]}, "names a value twice"),
        ({"image_columns": []}, "must be 1 or more values"),
        ({"views": ["clinical", "x"]}, "names 2 views of 1 image_columns"),
        ({"caption": {"hue": "site"}}, "is no field of the caption schema"),
        ({"table": "no.csv"}, r"no\.csv: no such table"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path, options, reason):
    with pytest.raises(InputError, match=reason):
        open_source("csv", own_csv(tmp_path), options)


def test_two_tables_need_a_name(tmp_path):
    own_csv(tmp_path)
    (tmp_path / "more.csv").write_text("image\na.jpg\n")
    with pytest.raises(InputError, match=r"holds 2 CSV files; name one as data\.options\.table"):
        open_source("csv", tmp_path)
    assert open_source("csv", tmp_path, {"table": "more.csv"}).case(0).diagnosis == ""


def test_semicolons_latin_1_and_windows_line_ends_of_a_clinic(tmp_path):
    photograph(tmp_path / "a.jpg")
    text = "image;label;alter\r\na.jpg;S\xe9zary syndrome;40\r\n"
    (tmp_path / "cases.csv").write_bytes(text.encode("latin-1"))
    source = open_source(
        "csv", tmp_path, {"diagnosis_column": "label", "attributes": {"age": "alter"}}
    )
    assert source.case(0).diagnosis == "Sézary syndrome" and source.images(0)
    assert "Latin-1" in source.remarks[0] and "semicolons" in source.remarks[1]
