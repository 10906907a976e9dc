"""Claims about lists of ids: what is written is read back, and anyone's lists are understood."""

import hashlib

import pytest

from skinflow_jax.data.splitting.lists import (
    listed_cases,
    owners_lists,
    read_split_lists,
    write_id_lists,
)
from skinflow_jax.data.splitting.splits import SplitCase, Splits, make_splits
from skinflow_jax.errors import InputError

CASES = [
    SplitCase("one", "ISIC_1", "lesion_1", "naevus", "train"),
    SplitCase("one", "ISIC_2", "lesion_1", "naevus"),
    SplitCase("two", "images/b.jpg", "p7", "melanoma", "test"),
    SplitCase("two", "ISIC_1", "p8", "melanoma"),
]


def test_lists_that_are_written_are_read_and_give_the_same_splits(tmp_path):
    splits = make_splits(CASES, [], {"rl": 0.5, "held out": 0.5}, 0)
    digests = write_id_lists(splits, tmp_path)
    for name, digest in digests.items():
        content = (tmp_path / f"{name}.txt").read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        assert content.decode().split("\n") == [*splits.ids(name), ""]
    listed = read_split_lists(tmp_path)
    given, remarks = listed_cases(listed, CASES, tmp_path)
    assert given == splits.of and remarks == ()
    assert make_splits(CASES, [], {"rl": 1.0}, 5, given=given).of == splits.of


def test_the_digest_of_a_list_does_not_depend_on_the_order_of_the_cases(tmp_path):
    first, second = (
        write_id_lists(Splits(dict.fromkeys(names, "rl"), {}), tmp_path / str(k))
        for k, names in enumerate((("a/1", "a/2"), ("a/2", "a/1")))
    )
    assert first == second


def test_splits_that_would_be_one_file_on_some_machines_are_refused(tmp_path):
    with pytest.raises(InputError, match="'Train' and 'train' differ in upper and lower case"):
        write_id_lists(Splits({"a/1": "train", "a/2": "Train"}, {}), tmp_path)


@pytest.mark.parametrize("name", ["a/b", "../x", ".", "", "-x", "a\nb", "a\x1b"])
def test_a_split_that_can_name_no_file_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="can name no file"):
        write_id_lists(Splits({"a/1": name}, {}), tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("md5hash,fst,diag,partition\nISIC_2,1,x,val\n", {"one/ISIC_2": "val"}),
        ("﻿image_id;split\r\nimages\\b.png;test\r\n", {"two/images/b.jpg": "test"}),
        ("id,split\none/ISIC_1,rl\n", {"one/ISIC_1": "rl"}),
        ("id,split\nlesion_1,rl\n", {"one/ISIC_1": "rl", "one/ISIC_2": "rl"}),
        ("id,split\ntwo/p8,rl\n", {"two/ISIC_1": "rl"}),
    ],
)
def test_tables_of_others_are_understood(tmp_path, text, expected):
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode())
    assert listed_cases(read_split_lists(path), CASES, path) == (expected, ())


def test_a_text_file_names_its_split(tmp_path):
    path = tmp_path / "test1000.txt"
    path.write_bytes("﻿b.jpg\r\n\r\nISIC_2\r\n".encode())
    assert read_split_lists(path) == {"b.jpg": "test1000", "ISIC_2": "test1000"}


def test_a_list_in_part_of_other_data_is_told(tmp_path):
    given, remarks = listed_cases({"ISIC_2": "rl", "x": "rl"}, CASES, tmp_path)
    assert given == {"one/ISIC_2": "rl"}
    assert remarks == (f"{tmp_path}: 1 of 2 ids are not among the cases, first x",)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ({"x": "rl"}, "none of its 1 ids is among the cases"),
        ({"ISIC_1": "rl"}, "ISIC_1 is in one and two; write one/ISIC_1"),
        ({"lesion_1": "rl", "ISIC_2": "test"}, "one/ISIC_2 is in rl and, as ISIC_2, in test"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path, listed, reason):
    with pytest.raises(InputError, match=reason):
        listed_cases(listed, CASES, tmp_path)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"list.csv": "id,split\na,rl\na,test\n"}, r"row 3: split: a is in test and in rl"),
        ({"rl.txt": "a\n", "test.txt": "b\na\n"}, r"test\.txt line 2: a is in test and in rl"),
        ({"list.csv": "name,split\na,rl\n"}, "its columns are name, split; it needs one of id"),
        ({"list.csv": "id,fold\na,rl\n"}, "needs one of .* and one of split, partition"),
        ({"list.csv": "id,split\na,\n"}, r"row 2: split"),
        ({"rl.txt": "\n"}, "holds no id"),
        ({"rl.txt": b"\xff\xfe"}, "cannot be read as a list of ids"),
        ({"rl.md": "a\n"}, "holds no list; name them by split"),
    ],
)
def test_damaged_lists_are_refused_by_file_and_row(tmp_path, files, reason):
    for name, text in files.items():
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=reason):
        read_split_lists(tmp_path)


def test_an_absent_list_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone\.txt: cannot be read"):
        read_split_lists(tmp_path / "gone.txt")
    with pytest.raises(InputError, match=r"gone\.csv"):
        read_split_lists(tmp_path / "gone.csv")


def test_the_splits_of_the_owner_are_a_list_too():
    assert owners_lists(CASES) == {"one/ISIC_1": "train", "two/images/b.jpg": "test"}
