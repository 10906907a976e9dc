"""Records are built once, whole or not at all, and tell what they hold and what they left out."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skinflow_jax.data.images import resize
from skinflow_jax.data.records import RecordSet, build_records
from skinflow_jax.errors import InputError

BUDGET = {"min_pixels": 56 * 56, "max_pixels": 112 * 168}


def build(source, folder, **changes):
    return build_records(source, folder, **{"fingerprint": {"seed": 0}, **BUDGET, **changes})


def only_folder(parent):
    """No half-built folder may lie about."""
    return [path.name for path in parent.iterdir()]


def test_a_record_is_the_case_and_its_resized_image(source, records):
    assert len(records) == len(source)
    for index in range(len(source)):
        record = records[index]
        assert record.case == source.case(index)
        np.testing.assert_array_equal(record.image, resize(source.image(index), **BUDGET))


def test_records_spread_over_shards(source, records):
    shards = records.manifest.shards
    assert len(shards) > 1
    assert sum(shard["count"] for shard in shards) == len(source)


def test_the_manifest_says_what_the_folder_holds(source, records):
    manifest = records.manifest
    assert (manifest.source, manifest.count) == ("shaded", len(source))
    assert tuple(manifest.diagnoses) == source.diagnoses
    assert manifest.note == "synthetic"
    assert manifest.identity["options"] == {"split": "train"}
    shapes = {records[i].image.shape[:2] for i in range(len(records))}
    assert {tuple(map(int, size.split("x"))) for size in manifest.sizes} == shapes
    assert manifest.summary().startswith("shaded: 11 cases in ")


def test_a_second_build_reads_no_image(source, shaded_source, tmp_path):
    first = build(source, tmp_path / "set")
    again = build(shaded_source(bad=range(len(source))), tmp_path / "set")
    assert again == first


@pytest.mark.parametrize(
    "change, named",
    [
        ({"max_pixels": 56 * 84}, "max_pixels=18816 but max_pixels=4704 is asked for"),
        ({"fingerprint": {"seed": 1}}, "options={'seed': 0} but options={'seed': 1} is asked for"),
    ],
)
def test_records_of_other_options_are_refused_by_naming_both(source, tmp_path, change, named):
    build(source, tmp_path / "set")
    with pytest.raises(InputError, match="remove that folder") as caught:
        build(source, tmp_path / "set", **change)
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_of_other_things_is_never_touched(source, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=r"holds no manifest\.json"):
        build(source, tmp_path / "set")
    assert (tmp_path / "set" / "thesis.txt").read_text() == "precious"


def test_bad_images_are_skipped_counted_and_listed(shaded_source, tmp_path):
    manifest = build(shaded_source(count=5, bad=(0, 3)), tmp_path / "set")
    records = RecordSet(tmp_path / "set")
    assert [records[i].case.case_id for i in range(len(records))] == ["case-1", "case-2", "case-4"]
    assert [skip["case"] for skip in manifest.skipped] == ["case-0", "case-3"]
    assert "3 cases" in manifest.summary() and "2 skipped" in manifest.summary()
    assert "skipped case-3: case-3.jpg: cannot be read" in manifest.summary()


def test_a_build_without_a_usable_image_fails_and_leaves_nothing(shaded_source, tmp_path):
    with pytest.raises(InputError, match=r"none of the 3 cases is usable; the first: case-0\.jpg"):
        build(shaded_source(count=3, bad=range(3)), tmp_path / "set")
    assert only_folder(tmp_path) == []


def test_an_interrupted_build_leaves_nothing(source, tmp_path):
    def interrupt(done, _):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "set", progress=interrupt)
    assert only_folder(tmp_path) == []


def test_two_builders_of_one_folder_do_no_harm(source, tmp_path):
    """The loser of the race finds the winner's folder at the end and takes it."""
    done = []

    def build_meanwhile(count, total):
        done.append((count, total))
        if count == total:
            build(source, tmp_path / "set")

    manifest = build(source, tmp_path / "set", progress=build_meanwhile)
    assert manifest == RecordSet(tmp_path / "set").manifest
    assert only_folder(tmp_path) == ["set"]
    assert done == [(count, len(source)) for count in range(1, len(source) + 1)]


def test_records_survive_pickling_and_threads(records):
    copy = pickle.loads(pickle.dumps(records))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: copy[i % len(copy)].case.case_id, range(200)))
    assert found == [records[i % len(records)].case.case_id for i in range(200)]


def test_a_selection_keeps_its_order_and_can_be_narrowed(records):
    chosen = records.select([5, 2, 9])
    assert [record.case.case_id for record in chosen] == ["case-5", "case-2", "case-9"]
    assert [record.case.case_id for record in chosen.select([2, 0])] == ["case-9", "case-5"]


@pytest.fixture
def built(source, tmp_path):
    build(source, tmp_path / "set")
    return tmp_path / "set"


def test_a_missing_manifest_is_named(built):
    (built / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"set: holds no manifest\.json; build"):
        RecordSet(built)


@pytest.mark.parametrize("content", ["{", json.dumps({"count": 3}), "[]"])
def test_a_broken_manifest_is_named(built, content):
    (built / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json: .*build it again"):
        RecordSet(built)


def test_a_truncated_or_missing_shard_is_named(built):
    shard = built / "records-00000.array_record"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"records-00000\.array_record: \d+ bytes where"):
        RecordSet(built)
    shard.unlink()
    with pytest.raises(InputError, match=r"records-00000\.array_record: 0 bytes where"):
        RecordSet(built)


def test_a_damaged_record_is_named(built, source):
    shard = built / "records-00000.array_record"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    shard.write_bytes(data)
    records = RecordSet(built)
    with pytest.raises(InputError, match=r"set: record \d+ is damaged .*build it again"):
        [records[i] for i in range(len(source))]
