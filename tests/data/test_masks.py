"""Masks of lesions go from their files through records to the crop that keeps the lesion."""

import base64
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from skinflow_jax.data.buckets import Buckets
from skinflow_jax.data.images import resize_mask
from skinflow_jax.data.pipeline import make_pipeline
from skinflow_jax.data.records import RecordSet, build_records
from skinflow_jax.data.sources.catalogue import open_source
from skinflow_jax.errors import InputError

BUDGET = {"min_pixels": 56 * 56, "max_pixels": 112 * 168}
BOX = (slice(60, 100), slice(20, 80))


def picture(mode="RGB", size=(200, 150), box=BOX):
    """A dark lesion on light skin, or its mask."""
    height, width = size[1], size[0]
    lesion = np.zeros((height, width), bool)
    lesion[box] = True
    if mode == "L":
        return Image.fromarray(lesion.astype(np.uint8) * 255)
    return Image.fromarray(np.where(lesion[..., None], (80, 40, 30), (230, 190, 170)).astype("u1"))


def rows(root, name, lines):
    with (root / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def ham10000(root):
    facts = {"dx": "mel", "dx_type": "histo", "age": 50, "sex": "male", "localization": "back"}
    lines = [{"lesion_id": f"HAM_{i}", "image_id": f"ISIC_{i}", **facts} for i in range(2)]
    rows(root, "HAM10000_metadata.csv", lines)
    for i in range(2):
        picture().save(root / f"ISIC_{i}.jpg", quality=95)
    picture("L").save(root / "ISIC_0_segmentation.png")
    return "ham10000", {}


def isic(root):
    rows(root, "metadata.csv", [{"isic_id": f"ISIC_{i}", "diagnosis": "melanoma"} for i in (0, 1)])
    for i in range(2):
        picture().save(root / f"ISIC_{i}.jpg", quality=95)
    picture("L").save(root / "ISIC_0_segmentation.png")
    return "isic", {}


def own_table(root):
    picture().save(root / "a.jpg", quality=95)
    picture().save(root / "b.jpg", quality=95)
    picture("L").save(root / "lesion-of-a.png")
    lines = [
        {"image": "a.jpg", "dx": "melanoma", "lesion": "lesion-of-a.png"},
        {"image": "b.jpg", "dx": "melanoma", "lesion": ""},
    ]
    rows(root, "own.csv", lines)
    return "csv", {"diagnosis_column": "dx", "mask_column": "lesion"}


def own_rows(root):
    data = io.BytesIO()
    picture("L").save(data, "PNG")
    lines = []
    for name in "ab":
        picture().save(root / f"{name}.jpg", quality=95)
        lines.append({"problem": "What?", "images": [f"{name}.jpg"], "answer": "melanoma"})
    lines[0]["lesion"] = base64.b64encode(data.getvalue()).decode()
    (root / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "jsonl", {"mask_field": "lesion"}


FORMS = (ham10000, isic, own_table, own_rows)


def build(form, root, folder):
    root.mkdir(exist_ok=True)
    source = open_source(form(root)[0], root, form(root)[1])
    build_records(source, folder, fingerprint={}, most_skipped=1, **BUDGET)
    return RecordSet(folder)


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_stands_in_its_record_at_the_size_of_its_image(form, tmp_path):
    records = build(form, tmp_path / "root", tmp_path / "records")
    first, second = records[0], records[1]
    assert first.mask.dtype == bool and first.mask.shape == first.images[0].shape[:2]
    dark = first.images[0].sum(axis=-1) < 400
    assert (first.mask == dark).mean() > 0.97 and 0.05 < first.mask.mean() < 0.12
    assert second.mask is None and not second.case.mask
    assert not [key for key, value in first.case.columns.items() if len(str(value)) > 100]


@pytest.mark.parametrize("form", FORMS)
def test_another_mask_is_another_data_set(form, tmp_path):
    build(form, tmp_path / "root", tmp_path / "records")
    source, options = form(tmp_path / "root")
    smaller = picture("L", box=(slice(70, 80), slice(30, 40)))
    if form is own_rows:
        path = tmp_path / "root" / "rows.jsonl"
        lines, data = path.read_text().splitlines(), io.BytesIO()
        smaller.save(data, "PNG")
        row = json.loads(lines[0]) | {"lesion": base64.b64encode(data.getvalue()).decode()}
        path.write_text(json.dumps(row) + "\n" + lines[1] + "\n")
    else:
        (mask,) = (tmp_path / "root").glob("*.png")
        smaller.save(mask)
    changed = open_source(source, tmp_path / "root", options)
    with pytest.raises(InputError, match="image files have changed"):
        build_records(changed, tmp_path / "records", fingerprint={}, **BUDGET)


def test_a_mask_that_cannot_be_used_is_listed_with_its_case(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    form, options = own_table(root)
    picture("L", size=(150, 200)).save(root / "lesion-of-a.png")
    build_records(
        open_source(form, root, options), tmp_path / "r", fingerprint={}, most_skipped=1, **BUDGET
    )
    (skipped,) = RecordSet(tmp_path / "r").manifest.skipped
    assert skipped.case == "a.jpg" and "lesion-of-a.png: a mask of (200, 150)" in skipped.reason
    (root / "lesion-of-a.png").unlink()
    build_records(
        open_source(form, root, options), tmp_path / "s", fingerprint={}, most_skipped=1, **BUDGET
    )
    (skipped,) = RecordSet(tmp_path / "s").manifest.skipped
    assert "own.csv row 2: lesion: no image" in skipped.reason


@pytest.mark.parametrize("alpha", [0, 254])
def test_a_mask_that_is_transparent_somewhere_is_refused(alpha, tmp_path):
    """Shown on white it would say that the lesion is everywhere."""
    form, options = own_table(tmp_path)
    mask = picture("L").convert("RGBA")
    mask.putpixel((0, 0), (0, 0, 0, alpha))
    mask.save(tmp_path / "lesion-of-a.png")
    source = open_source(form, tmp_path, options)
    with pytest.raises(InputError, match=r"lesion-of-a\.png: is transparent in places"):
        source.mask(0, (150, 200))
    picture("L").convert("RGBA").save(tmp_path / "lesion-of-a.png")
    assert source.mask(0, (150, 200))[BOX].all()


def test_a_resized_mask_has_what_is_mostly_covered():
    for rows, covered in ((4, 1), (5, 2)):
        mask = np.zeros((12, 12), bool)
        mask[:rows] = True
        np.testing.assert_array_equal(resize_mask(mask, (4, 4))[:, 0], np.arange(4) < covered)
    assert resize_mask(np.ones((150, 200), bool), (140, 196)).all()


def test_training_crops_around_the_lesion_and_only_where_there_is_a_mask(
    tmp_path, tokenizer, config
):
    """Of the case with a mask some crops go below nine tenths of a side; the lesion stays whole."""
    records = build(own_table, tmp_path / "root", tmp_path / "records")
    batches = make_pipeline(
        *(records, tokenizer, config),
        tasks=("diagnosis",),
        batch_size=2,
        seed=0,
        buckets=Buckets((200,), (4,), 100),
        augmentation=("crop",),
    )
    shares = {"a.jpg": [], "b.jpg": []}
    whole = records[0].images[0].sum(axis=-1) < 400
    proportions = whole.any(axis=1).sum() / whole.any(axis=0).sum()
    for _ in range(40):
        for example in next(batches).examples:
            dark = example.image.sum(axis=-1) < 400
            tall, wide = dark.any(axis=1).sum(), dark.any(axis=0).sum()
            assert tall / wide == pytest.approx(proportions, rel=0.1), "a part of it is cut off"
            shares[example.case_id].append(dark.mean())
    batches.close()
    assert max(shares["a.jpg"]) > 1.5 * whole.mean()
    assert 0.9 * whole.mean() < min(shares["b.jpg"])
    assert max(shares["b.jpg"]) < 1.3 * whole.mean()
