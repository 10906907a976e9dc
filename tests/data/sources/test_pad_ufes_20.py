"""Claims about PAD-UFES-20, on the real files and on damaged ones."""

import csv
import hashlib
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skinflow_jax.clinical.caption_schema import FIELDS
from skinflow_jax.clinical.ontology import find
from skinflow_jax.data.sources import make_source
from skinflow_jax.data.sources.pad_ufes_20 import COLUMNS, DIAGNOSES, PadUfes20Source
from skinflow_jax.errors import ConfigError, InputError

SPLITS = ("heldout", "warmup", "rl")
GOOD = {
    "diagnostic": "NEV",
    "region": "FACE",
    "diameter_1": "6.0",
    "diameter_2": "11.0",
    "fitspatrick": "2.0",
    "age": "40",
    "gender": "FEMALE",
}


@pytest.fixture
def real(test_data: Path) -> Path:
    return test_data / "data" / "pad_ufes_20"


def _cases(root: Path, seed: int = 0) -> dict[str, list]:
    sources = {s: PadUfes20Source(data_root=root, split=s, seed=seed) for s in SPLITS}
    return {s: [source.case(i) for i in range(len(source))] for s, source in sources.items()}


def test_the_real_table_splits_about_two_to_two_to_one(real):
    """The figures that the documentation states, for seed 0; others vary with the patients."""
    sizes = {s: len(c) for s, c in _cases(real).items()}
    assert sizes == {"heldout": 45, "warmup": 95, "rl": 95}
    for seed in range(3):
        cases = [case.case_id for c in _cases(real, seed).values() for case in c]
        assert len(cases) == len(set(cases)) == 235


def test_no_patient_is_in_two_splits(real):
    for seed in range(3):
        groups = [{case.group for case in c} for c in _cases(real, seed).values()]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 220


def test_a_diagnosis_of_fewer_than_two_patients_in_a_split_is_named(real):
    for seed in range(3):
        for split in SPLITS:
            source = PadUfes20Source(data_root=real, split=split, seed=seed)
            patients = {}
            for case in map(source.case, range(len(source))):
                patients.setdefault(case.diagnosis, set()).add(case.group)
            few = [name for name in source.diagnoses if len(patients.get(name, ())) < 2]
            assert len(source.remarks) == len(few)
            for name, remark in zip(few, source.remarks, strict=True):
                assert remark.startswith(f"{split}: fewer than two groups with {name} (")


def test_real_cases_tell_what_their_rows_tell(real):
    """Oracle: the table itself, read again here."""
    with (real / "metadata.csv").open(newline="") as file:
        rows = {Path(row["img_id"]).stem: row for row in csv.DictReader(file)}
    sizes = Counter()
    for case in (case for c in _cases(real).values() for case in c):
        row = rows[case.case_id]
        assert case.group == row["patient_id"]
        assert case.diagnosis == DIAGNOSES[row["diagnostic"]]
        assert case.caption["location"] == row["region"].lower()
        assert ("size" in case.caption) == bool(row["diameter_1"])
        assert set(case.caption) <= {"size", "location"}
        assert all(value in FIELDS[name].values for name, value in case.caption.items())
        assert ("fitzpatrick" in case.attributes) == bool(row["fitspatrick"])
        sizes[case.caption.get("size")] += 1
    assert sizes[None] == 84
    assert set(sizes) == {None, *FIELDS["size"].values}


def test_every_real_image_decodes(real):
    source = PadUfes20Source(data_root=real, split="heldout", seed=0)
    for i in range(len(source)):
        image = source.images(i)[0]
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3


def test_diagnoses_are_canonical_in_the_ontology():
    for name in PadUfes20Source.diagnoses:
        assert find(name).name == name


def _photograph(path: Path, number: int) -> None:
    """Each number has an image of its own."""
    Image.new("RGB", (20, 16), (200, 150, 5 * number)).save(path, quality=95)


def _folder(root: Path, *, rows: int = 30, columns=COLUMNS, images="images", **first) -> Path:
    """A small data set whose patient p0 may be spoilt by `first`; every class occurs."""
    (root / images).mkdir(parents=True)
    codes = list(DIAGNOSES)
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for i in range(rows):
            row = {**GOOD, "diagnostic": codes[i % 6], "patient_id": f"p{i}", "img_id": f"i{i}.png"}
            writer.writerow(row | first if i == 0 else row)
            _photograph(root / images / f"i{i}.jpg", i)
    return root


def _first(root: Path) -> tuple[PadUfes20Source, int]:
    """The source and index that hold the first row of the table."""
    for split in SPLITS:
        source = PadUfes20Source(data_root=root, split=split, seed=0)
        for i, (line, _) in enumerate(source._rows):
            if line == 2:
                return source, i
    raise AssertionError("the first row is in no split")


@pytest.mark.parametrize("images", ["images", "imgs_part_1", "imgs_part_2/imgs_part_2"])
def test_a_good_folder_reads_wherever_the_release_keeps_its_images(tmp_path, images):
    source, i = _first(_folder(tmp_path, images=images))
    assert source.images(i)[0].shape == (16, 20, 3)
    case = source.case(i)
    assert case.caption == {"size": "10-20 mm", "location": "face"}
    assert case.attributes == {"fitzpatrick": 2, "age": 40, "gender": "female"}


@pytest.mark.parametrize(
    ("diameters", "size"),
    [
        (("4.9", "1"), "under 5 mm"),
        (("5", "5"), "5-10 mm"),
        (("9.9", "3"), "5-10 mm"),
        (("20", "10"), "10-20 mm"),
        (("20.5", "10"), "over 20 mm"),
        (("12", ""), None),
        (("", ""), None),
        (("0", "0"), None),
    ],
)
def test_size_is_the_larger_diameter_where_both_are_known(tmp_path, diameters, size):
    first = dict(zip(("diameter_1", "diameter_2"), diameters, strict=True))
    source, i = _first(_folder(tmp_path, **first))
    assert source.case(i).caption.get("size") == size


def test_what_the_table_does_not_know_is_absent(tmp_path):
    blank = {"region": "", "fitspatrick": "", "age": "UNK", "gender": ""}
    source, i = _first(_folder(tmp_path, **blank, diameter_1=""))
    assert source.case(i).caption == {}
    assert source.case(i).attributes == {}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("diagnostic", "XYZ"),
        ("diagnostic", ""),
        ("region", "ELBOW"),
        ("diameter_1", "six"),
        ("diameter_2", "-3"),
        ("fitspatrick", "7"),
        ("fitspatrick", "2.5"),
        ("age", "inf"),
        ("age", "1e999"),
        ("age", "1e2"),
        ("age", "1_0"),
        ("age", "\N{ARABIC-INDIC DIGIT THREE}"),
        ("diameter_1", "1e-999"),
        ("diameter_1", "99999999999"),
        ("diagnostic", "nev"),
    ],
)
def test_a_bad_cell_is_named_by_file_row_and_column(tmp_path, column, value):
    source, i = _first(_folder(tmp_path, **{column: value}))
    with pytest.raises(InputError) as error:
        source.case(i)
    message = str(error.value)
    assert f"metadata.csv row 2: {column} is {value!r}" in message
    assert "\n" not in message


@pytest.mark.parametrize("column", ["patient_id", "img_id"])
def test_a_row_without_patient_or_image_is_refused_at_once(tmp_path, column):
    with pytest.raises(InputError, match=f"metadata.csv row 2: {column} is empty"):
        _first(_folder(tmp_path, **{column: " "}))


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named_with_its_file(tmp_path, column):
    root = _folder(tmp_path, columns=[c for c in COLUMNS if c != column])
    with pytest.raises(InputError, match=f"metadata.csv: needs a column '{column}'"):
        _first(root)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (Path.unlink, r"metadata.csv row 2: no image i0.png or .jpg"),
        (lambda path: path.write_bytes(b""), r"i0\.jpg"),
        (lambda path: path.write_text("no image"), r"i0\.jpg"),
        (_truncate, r"i0\.jpg"),
    ],
)
def test_a_missing_or_damaged_image_is_named_and_the_others_still_read(tmp_path, spoil, words):
    root = _folder(tmp_path)
    spoil(root / "images" / "i0.jpg")
    source, i = _first(root)
    with pytest.raises(InputError, match=words):
        source.images(i)[0]
    assert source.images((i + 1) % len(source))[0].shape == (16, 20, 3)
    assert source.case(i).diagnosis


def test_an_empty_folder_an_empty_table_and_a_folder_without_images_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"metadata\.csv: cannot read"):
        _first(tmp_path)
    with pytest.raises(InputError, match=r"metadata\.csv: has no rows"):
        _first(_folder(tmp_path / "a", rows=0))
    root = _folder(tmp_path / "b", rows=12)
    for image in (root / "images").iterdir():
        image.unlink()
    with pytest.raises(InputError, match=r"no \.png or \.jpg files in images"):
        _first(root)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "metadata.csv").write_bytes(b"")
    with pytest.raises(InputError, match="needs a column 'patient_id'"):
        _first(tmp_path / "c")


def _table(root: Path, change) -> Path:
    """The small data set with its table's rows changed by `change(rows)`; the header is row 0."""
    with (root / "metadata.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with (root / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def _all_ids(root: Path) -> dict[str, set[str]]:
    return {split: {case.case_id for case in cases} for split, cases in _cases(root).items()}


def _with(row: list[str], **changes: str) -> list[str]:
    return [changes.get(column, cell) for column, cell in zip(COLUMNS, row, strict=True)]


def test_rows_that_repeat_an_id_are_skipped_listed_and_counted(tmp_path):
    """One stays where they agree; where they do not, nobody knows which is right."""

    def change(rows):
        rows.append(_with(rows[1]))
        rows.append(_with(rows[2], patient_id="p77"))
        rows.append(_with(rows[3], diagnostic="SEK", img_id="i2.jpg"))
        rows.append(_with(rows[4], region="ARM"))

    root = _table(_folder(tmp_path), change)
    ids = set.union(*_all_ids(root).values())
    assert ids == {f"i{i}" for i in range(30)} - {"i1", "i2", "i3"}
    for split in SPLITS:
        remarks = PadUfes20Source(data_root=root, split=split, seed=0).remarks[:5]
        assert remarks[0] == "7 rows skipped: their image id is repeated"
        assert remarks[1] == "duplicate rows 2, 32 of image id i0 agree: the later skipped"
        assert remarks[2] == "duplicate rows 3, 33 of image id i1 differ in patient_id: all skipped"
        assert "rows 4, 34 of image id i2 differ in diagnostic: all skipped" in remarks[3]
        assert "rows 5, 35 of image id i3 differ in region: all skipped" in remarks[4]


def test_a_table_whose_rows_all_contradict_each_other_is_refused(tmp_path):
    def change(rows):
        rows += [_with(row, diagnostic="MEL", patient_id="p_again") for row in rows[1:]]

    root = _table(_folder(tmp_path), change)
    with pytest.raises(InputError, match=r"metadata\.csv: no row is left: duplicate rows 2, 32"):
        _first(root)


def test_patients_who_share_an_image_are_one_group_in_one_split_and_told(tmp_path):
    """Whatever their splits were: pairs from all three, under new names."""
    root = _folder(tmp_path)
    plain = _all_ids(root)
    pairs = [(min(plain[a]), max(plain[b])) for a in SPLITS for b in SPLITS if a != b]

    def change(rows):
        for number, (first, second) in enumerate(pairs):
            copy = f"copy{number}"
            rows.append(_with(rows[int(second[1:]) + 1], img_id=f"{copy}.png"))
            (root / "images" / f"{copy}.jpg").write_bytes(
                (root / "images" / f"{first}.jpg").read_bytes()
            )

    cases = _cases(_table(root, change))
    images = {s: {_bytes(root, case.case_id) for case in c} for s, c in cases.items()}
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 30
    groups = {s: {case.group for case in c} for s, c in cases.items()}
    assert not groups["heldout"] & (groups["warmup"] | groups["rl"])
    ids = {s: {case.case_id for case in c} for s, c in cases.items()}
    assert not ids["heldout"] & (plain["warmup"] | plain["rl"]), "trained on before"
    for split in SPLITS if all(cases.values()) else [s for s in SPLITS if cases[s]]:
        told = "\n".join(PadUfes20Source(data_root=root, split=split, seed=0).remarks)
        for number, (first, _) in enumerate(pairs):
            line = next(line for line in told.splitlines() if f"copy{number} " in line)
            assert line.startswith("same image under several names: ") and f"{first} of" in line


def _bytes(root: Path, stem: str) -> bytes:
    return (root / "images" / f"{stem}.jpg").read_bytes()


def test_one_image_under_two_diagnoses_says_so(tmp_path):
    root = _folder(tmp_path)
    (root / "images" / "i1.jpg").write_bytes(_bytes(root, "i0"))
    source, _ = _first(root)
    told = [remark for remark in source.remarks if remark.startswith("same image")]
    assert told == [
        "same image under several names: i0 of patient p0, i1 of patient p1; these patients are "
        "one group, in one split; its diagnosis is ACK and BCC"
    ]


def test_two_different_files_of_one_name_are_no_image(tmp_path):
    root = _folder(tmp_path)
    source, i = _first(root)
    (root / "images" / "more").mkdir()
    (root / "images" / "more" / "i0.jpg").write_bytes(_bytes(root, "i0"))
    source, i = _first(root)
    assert source.images(i)[0].shape == (16, 20, 3)
    _photograph(root / "images" / "more" / "i0.jpg", 40)
    source, i = _first(root)
    with pytest.raises(InputError, match=r"i0\.jpg and .*more/i0\.jpg differ: remove"):
        source.images(i)[0]


def test_the_digest_of_an_image_is_that_of_its_bytes_even_where_size_and_time_stay(tmp_path):
    root = _folder(tmp_path)
    source, i = _first(root)
    path, before = root / "images" / "i0.jpg", source.image_digests(i)[0]
    assert before == hashlib.sha256(path.read_bytes()).hexdigest()
    found, data = path.stat(), bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert path.stat().st_mtime_ns == found.st_mtime_ns and path.stat().st_size == found.st_size
    assert source.image_digests(i)[0] != before
    path.unlink()
    with pytest.raises(InputError, match="no such image file"):
        source.image_digests(i)[0]


def test_a_table_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "metadata.csv").write_bytes(b"\xff\xfe\x00\x81" * 20)
    with pytest.raises(InputError, match=r"metadata\.csv: cannot read"):
        _first(tmp_path)


def test_a_factory_makes_sources_by_name_and_names_the_choices(tmp_path):
    root = _folder(tmp_path)
    source = make_source("pad_ufes_20", split="rl", seed=0, data_root=root, count=3)
    assert (source.name, len(source)) == ("pad_ufes_20", 3)
    source = make_source("procedural", split="rl", seed=0, count=3, image_size=28, clutter=0.5)
    assert source.images(2)[0].shape == (28, 28, 3)
    rl = {"split": "rl", "seed": 0}
    for call, words in (
        (lambda: make_source("ham", **rl), "'ham'; choose from procedural, pad_ufes_20"),
        (lambda: make_source("procedural", **rl), "count is missing"),
        (lambda: make_source("procedural", **rl, count=1, hair=1), "unknown option 'hair'"),
        (lambda: make_source("pad_ufes_20", **rl), "--data-root"),
        (lambda: make_source("pad_ufes_20", **rl, data_root=root, hair=1), "'hair'"),
        (lambda: make_source("pad_ufes_20", split="x", seed=0, data_root=root), "split is 'x'"),
        (lambda: make_source("pad_ufes_20", **rl, data_root=root, count=0), "count is 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            call()
