"""Claims about Fitzpatrick17k, on the real table and with its lists and descriptions."""

import csv

import pytest
from small_sets import fitzpatrick17k, photograph, table

from skinflow_jax.data.sources.catalogue import open_source
from skinflow_jax.errors import InputError

NAMES = [str(n) * 32 for n in range(4)]


def opened(root, **options):
    return open_source("fitzpatrick17k", fitzpatrick17k(root), options)


def names(source):
    return [source.case(i).case_id[0] for i in range(len(source))]


def test_the_real_table_builds_against_a_subset_of_images_and_says_what_is_absent(
    test_data, tmp_path
):
    path = test_data / "data" / "fitzpatrick17k" / "fitzpatrick17k.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if "Wrongly" not in row["qc"]]
    assert len(rows) == 16_560
    chosen = rows[::4000]
    for row in chosen:
        photograph(tmp_path / f"{row['md5hash']}.png")
    source = open_source("fitzpatrick17k", tmp_path, {"table": str(path)})
    assert len(source) == len(chosen) == 5
    assert len(source.diagnoses) == 110, "114 labels; some are one disease to the ontology"
    for index, row in enumerate(chosen):
        case = source.case(index)
        assert case.case_id == row["md5hash"] and case.attributes["fitzpatrick"] in range(1, 7)
        assert case.attributes["three_partition"] == row["three_partition_label"]
        assert source.images(index)
    assert any("16,555 of 16,560 rows left out, their images" in line for line in source.remarks)
    assert any(line.startswith("17 rows left out by the owners' check") for line in source.remarks)


def test_a_row(tmp_path):
    source = opened(tmp_path)
    first, second = source.case(0), source.case(1)
    assert first.diagnosis == "superficial spreading melanoma" and first.group == NAMES[0]
    assert first.attributes == {
        "fitzpatrick": 3,
        "nine_partition": "malignant melanoma",
        "three_partition": "malignant",
    }
    assert "fitzpatrick" not in second.attributes, "-1 is not known"


def test_no_image_at_all_is_refused(tmp_path):
    fitzpatrick17k(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"none of its 3 images is below .*give the folder"):
        open_source("fitzpatrick17k", tmp_path, {"images": "empty"})


def test_rows_that_the_owners_call_wrongly_labelled_are_left_out_unless_asked_for(tmp_path):
    photograph(tmp_path / "images" / f"{NAMES[2]}.png")
    assert names(opened(tmp_path)) == ["0", "1"]
    kept = opened(tmp_path, exclude_qc=[])
    assert names(kept) == ["0", "1", "2"]
    assert kept.case(2).attributes["quality"] == "3 Wrongly labelled"


def test_the_cleaned_list_of_its_authors_keeps_and_splits(tmp_path):
    """Columns as Fitzpatrick17k-C.csv has them."""
    rows = [{"md5hash": NAMES[1], "fst": "2", "diag": "x", "partition": "val"}]
    table(tmp_path / "Fitzpatrick17k-C.csv", [*rows, {"md5hash": "f" * 32, "partition": "test"}])
    source = opened(tmp_path, keep="Fitzpatrick17k-C.csv")
    assert names(source) == ["1"] and source.case(0).split == "val"
    assert any("1 of 2 ids are not in the table" in line for line in source.remarks)


@pytest.mark.parametrize("text", ["{}\n", "\ufeff{}.jpg\r\n", "images/{}.jpg\n\n"])
def test_a_list_of_what_to_leave_out(tmp_path, text):
    (tmp_path / "out.txt").write_bytes(text.format(NAMES[0]).encode())
    source = opened(tmp_path, exclude="out.txt")
    assert names(source) == ["1"]
    assert any("rows left out by" in line and "out.txt" in line for line in source.remarks)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no id"),
        ("f\n", "none of its 1 ids is in the table; is it of this data"),
        (f"{NAMES[0]}\n{NAMES[1]}\n{NAMES[3]}\n", "leave no row|leaves no row"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path, text, reason):
    (tmp_path / "out.txt").write_text(text)
    with pytest.raises(InputError, match=reason):
        opened(tmp_path, exclude="out.txt")


def test_a_list_may_name_only_what_the_owners_check_leaves_out_already(tmp_path):
    (tmp_path / "out.txt").write_text(f"{NAMES[2]}\n")
    assert names(opened(tmp_path, exclude="out.txt")) == ["0", "1"]


def test_an_id_in_two_splits_is_refused(tmp_path):
    rows = [{"md5hash": NAMES[0], "split": split} for split in ("train", "test")]
    table(tmp_path / "list.csv", rows)
    with pytest.raises(InputError, match=r"list\.csv row 3: split: 0+ is in two splits"):
        opened(tmp_path, keep="list.csv")


def test_skincon_concepts_are_joined_and_become_caption_fields(tmp_path):
    concepts = {"Papule": "1", "Brown(Hyperpigmentation)": "1", "Warty/Papillomatous": "1"}
    row = {"": "0", "ImageID": f"{NAMES[0]}.jpg", **concepts, "Umbilicated": "1", "Scale": "0"}
    row |= {"Do not consider this image": "0"}
    other = row | {"ImageID": f"{NAMES[1]}.jpg", "Do not consider this image": "1"}
    table(tmp_path / "skincon.csv", [row, other])
    source = opened(tmp_path, skincon="skincon.csv")
    first = source.case(0)
    assert first.columns["skincon"] == [*concepts, "Umbilicated"]
    assert first.caption == {"lesion_type": "papule", "colour": "brown", "surface": "warty"}
    assert source.case(1).caption == {}, "the annotators ask not to consider it"
    wrong = row | {"ImageID": f"{NAMES[1]}.jpg", "Papule": "2"}
    table(tmp_path / "skincon.csv", [row, wrong])
    source = opened(tmp_path, skincon="skincon.csv")
    assert source.case(0).caption and not source.case(1).caption
    assert "row 3: Papule is '2', expected a number from 0 to 1" in " ".join(source.remarks)


def test_skincap_captions_are_joined_as_a_column(tmp_path):
    row = {"id": "1", "skincap_file_path": "1.png", "ori_file_path": f"{NAMES[1]}.jpg"}
    row |= {"disease": "x", "caption_zh": "一\n二", "caption_zh_polish_en": "A red\npatch."}
    table(tmp_path / "skincap.csv", [row, row | {"ori_file_path": "of_ddi.png"}])
    source = opened(tmp_path, skincap="skincap.csv")
    assert source.case(1).columns["skincap_caption"] == "A red patch."
    assert source.case(1).caption == {"lesion_type": "patch", "colour": "red"}
    assert "skincap_caption" not in source.case(0).columns
    table(tmp_path / "skincap.csv", [row | {"ori_file_path": "of_ddi.png"}])
    with pytest.raises(InputError, match="none of its images is in the table"):
        opened(tmp_path, skincap="skincap.csv")


def test_one_md5_name_with_two_labels_is_left_out_and_told(tmp_path):
    photograph(tmp_path / "images" / f"{NAMES[3]}.png")
    fitzpatrick17k(tmp_path, md5hash=NAMES[1])
    source = open_source("fitzpatrick17k", tmp_path)
    assert names(source) == ["3"]
    assert "rows 2, 3 of md5hash 1" in source.remarks[0] and "label" in source.remarks[0]
