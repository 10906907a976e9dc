"""Splits of built records, as `skinflow data build` and training meet them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from photographs import PAD
from PIL import Image, ImageEnhance, ImageOps

from skinflow_jax.cli import main
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.splitting.files import latest_splits, split_case
from skinflow_jax.data.splitting.fitzpatrick17k_test1000 import NAME
from skinflow_jax.data.verification import verify_records

SMALL = "--config.data.max_pixels=12544"
FRACTIONS = "--config.data.fractions={'warmup': 0.4, 'rl': 0.4, 'heldout': 0.2}"


def build(*options, out: Path) -> RecordSet:
    assert main(["data", "build", *PAD, SMALL, *options, f"--out={out}"]) == 0
    (folder,) = (path for path in out.iterdir() if not path.name.startswith("."))
    return RecordSet(folder)


def folder_source(root: Path) -> list[str]:
    return ["--config.data.source=folder", f"--config.data.data_root={root}"]


def smooth(seed: int, size=(160, 120)) -> Image.Image:
    """A picture unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 220, size=(9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def pictures(root: Path, label: str, seeds) -> Path:
    (root / label).mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        smooth(seed).save(root / label / f"{label}-{seed:03d}.jpg", quality=92)
    return root


def copies(image: Image.Image) -> dict[str, Image.Image]:
    """As near-duplicates come about."""
    width, height = image.size
    edges = (width // 40, height // 40, width - width // 40, height - height // 40)
    return {
        "q50": image,
        "half": image.resize((width // 2, height // 2)),
        "mirrored": ImageOps.mirror(image),
        "quarter": image.transpose(Image.Transpose.ROTATE_90),
        "half-way": image.transpose(Image.Transpose.ROTATE_180),
        "brighter": ImageEnhance.Brightness(image).enhance(1.1),
        "darker": ImageEnhance.Brightness(image).enhance(0.9),
        "cropped": image.crop(edges),
    }


def grouped(records: RecordSet) -> dict[str, set[str]]:
    """The splits of each patient or lesion."""
    found: dict[str, set[str]] = {}
    of = latest_splits(records.folder).of
    for number in range(len(records)):
        case = records.case(number)
        if case.case_id in of:
            found.setdefault(case.group, set()).add(of[case.case_id])
    return found


def split_files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "splits").iterdir()}


def thumbnails(records: RecordSet) -> np.ndarray:
    """`[N, 1024]` of unit length: grey, 32 x 32, without mean; near-duplicates correlate."""
    rows = []
    for record in records:
        grey = Image.fromarray(record.images[0]).convert("L").resize((32, 32))
        row = np.asarray(grey, np.float64).reshape(-1)
        row -= row.mean()
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


@pytest.mark.slow
def test_no_patient_lesion_or_near_duplicate_stands_in_two_splits(test_data, tmp_path, capsys):
    """A part of HAM10000 and all of PAD-UFES-20; pairs are found by plain correlation."""
    root = tmp_path / "ham10000"
    root.mkdir()
    ham = test_data / "data" / "ham10000"
    with (ham / "HAM10000_metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lesions = {row["lesion_id"] for row in rows[:1400]}
    kept = [row for row in rows if row["lesion_id"] in lesions]
    count = len(kept) + 235
    with (root / "HAM10000_metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(kept)
    (root / "images").mkdir()
    for row in kept:
        name = f"{row['image_id']}.jpg"
        shutil.copyfile(ham / "images" / name, root / "images" / name)
    pad = {"source": "pad_ufes_20", "data_root": str(test_data / "data" / "pad_ufes_20")}
    records = build(
        "--config.data.source=ham10000",
        f"--config.data.data_root={root}",
        f"--config.data.more={[pad]}",
        out=tmp_path / "records",
    )
    assert f"{count:,} cases" in capsys.readouterr().out
    assert len(verify_records(records.folder)) == count > 1500
    splits = latest_splits(records.folder)
    assert len(splits.of) + len(splits.left_out) == count
    assert all(len(found) == 1 for found in grouped(records).values())
    rows = thumbnails(records)
    correlation = rows @ rows.T
    pairs = np.argwhere(np.triu(correlation > 0.99, 1))
    names = [records.case(number).case_id for number in range(len(records))]
    assert len(pairs) >= 2, "the claim needs pairs"
    for i, j in pairs:
        first, second = splits.of.get(names[i]), splits.of.get(names[j])
        assert first == second or None in (first, second), (names[i], names[j])
    sizes = [len(splits.ids(name)) / count for name in ("warmup", "rl", "heldout")]
    assert sizes == pytest.approx([0.4, 0.4, 0.2], abs=0.05)


def test_copies_in_another_data_set_follow_their_originals(tmp_path, capsys):
    """Of 96 planted copies under other names 95 % or more are where the original is, or nowhere."""
    pictures(tmp_path / "ours", "psoriasis", range(60))
    (tmp_path / "theirs" / "eczema").mkdir(parents=True)
    for seed in range(0, 60, 5):
        for how, copy in copies(smooth(seed)).items():
            path = tmp_path / "theirs" / "eczema" / f"{how}-of-{seed:03d}.jpg"
            copy.save(path, quality=50 if how == "q50" else 90)
    copied = {"source": "csv", "data_root": str(tmp_path / "theirs")}
    lines = [path.relative_to(tmp_path / "theirs") for path in (tmp_path / "theirs").rglob("*.jpg")]
    text = "image,dx\n" + "".join(f"{line},eczema\n" for line in sorted(lines))
    (tmp_path / "theirs" / "own.csv").write_text(text)
    copied["options"] = {"diagnosis_column": "dx"}
    records = build(
        *folder_source(tmp_path / "ours"), f"--config.data.more={[copied]}", out=tmp_path / "r"
    )
    splits = latest_splits(records.folder)
    placed = {name: split for name, split in splits.of.items() if name.startswith("csv/")}
    apart = [
        name
        for name, split in placed.items()
        if splits.of[f"folder/psoriasis/psoriasis-{name[-7:-4]}.jpg"] != split
    ]
    assert len(apart) <= 0.05 * 96, apart
    assert len(splits.contradicting) >= 0.95 * 96
    assert f"{len(splits.contradicting)} with two labels" in capsys.readouterr().out
    (folder,) = (records.folder / "splits").iterdir()
    listed = list(csv.DictReader((folder / "near_duplicates.csv").open()))
    assert {row["second_label"] for row in listed} == {"eczematous dermatitis"}
    assert "psoriasis" in {row["first_label"] for row in listed}
    assert main(["data", "inspect", f"--records={records.folder}", f"--out={tmp_path}/look"]) == 0
    with Image.open(tmp_path / "look" / "near_duplicates.png") as sheet:
        assert sheet.width == 1224 and len(set(sheet.resize((60, 60)).getdata())) > 50


def test_id_lists_are_sorted_whole_and_the_same_again(tmp_path):
    pictures(tmp_path / "ours", "psoriasis", range(40))
    first = build(*folder_source(tmp_path / "ours"), FRACTIONS, out=tmp_path / "a")
    again = build(*folder_source(tmp_path / "ours"), FRACTIONS, out=tmp_path / "b")
    (one,), (two,) = ((each.folder / "splits").iterdir() for each in (first, again))
    names = sorted(path.name for path in one.iterdir())
    lists = [f"{name}.txt" for name in sorted(set(latest_splits(first.folder).of.values()))]
    assert names == sorted([*lists, "left_out.csv", "near_duplicates.csv", "splits.json"])
    listed = [line for name in lists for line in (one / name).read_text().splitlines()]
    assert sorted(listed) == sorted(first.case(number).case_id for number in range(40))
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()
    counted = json.loads((one / "splits.json").read_text())["counts"]
    assert sum(found["diagnosis"]["psoriasis"] for found in counted.values()) == 40


def test_the_order_of_fractions_says_nothing(tmp_path):
    """A config file keeps its keys sorted, the command line as they are written."""
    pictures(tmp_path / "ours", "psoriasis", range(30))
    ours, of = folder_source(tmp_path / "ours"), []
    shares = [("warmup", 0.5), ("rl", 0.3), ("heldout", 0.2)]
    for order in (dict(shares), dict(shares[::-1])):
        records = build(*ours, f"--config.data.fractions={order}", out=tmp_path / "r")
        of.append(latest_splits(records.folder).of)
    assert of[0] == of[1] and len(split_files(tmp_path / "r" / "folder")) == 1


def test_nobody_whom_an_earlier_build_placed_moves(tmp_path):
    """Even under another seed and beside forty others."""
    root = pictures(tmp_path / "ours", "psoriasis", range(40))
    before = build(*folder_source(root), out=tmp_path / "before")
    placed = latest_splits(before.folder).of
    pictures(root, "eczema", range(100, 140))
    other_seed = "--config.data.seed=9"
    free = build(*folder_source(root), other_seed, out=tmp_path / "free")
    assert any(latest_splits(free.folder).of[name] != split for name, split in placed.items())
    kept = build(
        *(*folder_source(root), other_seed, f"--config.data.previous={before.folder}"),
        out=tmp_path / "kept",
    )
    after = latest_splits(kept.folder).of
    assert {name: after[name] for name in placed} == placed and len(after) == 80
    assert len({after[name] for name in after if "eczema" in name}) > 1


@pytest.mark.parametrize("wrong", ["nowhere", "ours"])
def test_an_earlier_build_that_is_none_is_named(tmp_path, wrong, fails):
    root = pictures(tmp_path / "ours", "psoriasis", range(8))
    build = ["data", "build", *PAD, SMALL, *folder_source(root), f"--out={tmp_path}/r"]
    problem = fails(*build, f"--config.data.previous={tmp_path / wrong}", code=2)
    assert f"{tmp_path / wrong}: holds no splits" in problem


def test_anyones_lists_come_first(tmp_path, fails):
    root = pictures(tmp_path / "ours", "psoriasis", range(20))
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "test.txt").write_text("psoriasis-003\npsoriasis-011.jpg\n")
    records = build(*folder_source(root), f"--split-by={lists}", out=tmp_path / "r")
    splits = latest_splits(records.folder)
    names = ["folder/psoriasis/psoriasis-003.jpg", "folder/psoriasis/psoriasis-011.jpg"]
    assert splits.ids("test") == names and len(splits.of) == 20
    (lists / "test.txt").write_text("psoriasis-999\n")
    command = ["data", "build", *PAD, SMALL, *folder_source(root), f"--out={tmp_path}/r"]
    problem = fails(*command, f"--split-by={lists}", code=2)
    assert f"{lists}: none of its 1 ids is among the cases" in problem


def test_the_owners_splits_can_be_taken(tmp_path, fails):
    root = pictures(tmp_path / "ours" / "train", "psoriasis", range(12)).parent
    pictures(root / "test", "psoriasis", range(50, 54))
    owner = "--split-by=owner"
    records = build(*folder_source(root), owner, out=tmp_path / "r")
    splits = latest_splits(records.folder)
    assert len(splits.ids("test")) == 4 and len(splits.ids("train")) == 12
    plain = pictures(tmp_path / "plain", "psoriasis", range(8))
    command = ["data", "build", *PAD, SMALL, *folder_source(plain), f"--out={tmp_path}/p"]
    assert "the owners of folder publish no splits" in fails(*command, owner, code=2)


def test_the_evaluation_split_of_fitzpatrick17k(test_data, tmp_path, capsys, fails):
    """The published table with 50 of its images: 1,000 ids are listed, those there are taken."""
    root = tmp_path / "fitzpatrick17k"
    root.mkdir()
    table = test_data / "data" / "fitzpatrick17k" / "fitzpatrick17k.csv"
    shutil.copyfile(table, root / "fitzpatrick17k.csv")
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["qc"] != "3 Wrongly labelled"]
    for seed, row in enumerate(rows[:400:8]):
        smooth(seed).save(root / f"{row['md5hash']}.jpg")
    source = ["--config.data.source=fitzpatrick17k", f"--config.data.data_root={root}"]
    records = build(*source, f"--config.data.split_by={NAME}", out=tmp_path / "r")
    told = capsys.readouterr().out
    assert "50 cases" in told and "rows left out, their images are absent" in told
    ids = (records.folder / "splits" / f"{NAME}.txt").read_text().split()
    assert len(ids) == 1000
    there = {f"fitzpatrick17k/{row['md5hash']}" for row in rows[:400:8]}
    splits = latest_splits(records.folder)
    assert set(splits.ids(NAME)) == there & {f"fitzpatrick17k/{name}" for name in ids}
    assert 0 < len(splits.ids(NAME)) < 50 == len(splits.of)
    plain = pictures(tmp_path / "plain", "psoriasis", range(8))
    command = ["data", "build", *PAD, SMALL, *folder_source(plain), f"--out={tmp_path}/p"]
    assert "of the source fitzpatrick17k" in fails(*command, f"--split-by={NAME}", code=2)


def test_splits_that_were_edited_are_not_believed(tmp_path, fails):
    root = pictures(tmp_path / "ours", "psoriasis", range(10))
    records = build(*folder_source(root), out=tmp_path / "r")
    (path,) = (records.folder / "splits").glob("*/splits.json")
    path.write_text(path.read_text().replace(': "heldout"', ': "warmup"'))
    command = ["data", "build", *PAD, SMALL, *folder_source(root), f"--out={tmp_path}/r"]
    assert "is damaged or edited: remove" in fails(*command, code=2)


def test_a_record_of_splits_knows_its_source_and_group(tmp_path):
    records = build(*folder_source(pictures(tmp_path / "o", "acne", range(3))), out=tmp_path / "r")
    case = split_case(records, 0)
    assert (case.source, case.id, case.label) == (
        "folder",
        "folder/acne/acne-000.jpg",
        "acne",
    )
