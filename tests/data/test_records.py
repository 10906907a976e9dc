"""Records are built once, whole or not at all, and tell what they hold and what they left out."""

import dataclasses
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from skinflow_jax.data import records as records_module
from skinflow_jax.data.images import resize
from skinflow_jax.data.manifest import hash_of
from skinflow_jax.data.records import RecordSet, build_records
from skinflow_jax.data.sources.case import Case
from skinflow_jax.errors import InputError

BUDGET = {"min_pixels": 56 * 56, "max_pixels": 112 * 168}


def build(source, folder, **changes):
    return build_records(
        source, folder, **{"fingerprint": {"seed": 0}, "most_skipped": 1, **BUDGET, **changes}
    )


def only_folder(parent):
    """No half-built folder may lie about."""
    return [path.name for path in parent.iterdir()]


def test_a_record_is_the_case_and_its_resized_image(source, records):
    assert len(records) == len(source)
    for index in range(len(source)):
        record = records[index]
        assert record.case == source.case(index)
        np.testing.assert_array_equal(
            record.images, [resize(image, **BUDGET) for image in source.images(index)]
        )


def test_records_spread_over_shards(source, records):
    shards = records.manifest.shards
    assert len(shards) > 1
    assert sum(shard.count for shard in shards) == len(source)


def test_the_manifest_says_what_the_folder_holds(source, records):
    manifest = records.manifest
    assert (manifest.source, manifest.count) == ("shaded", len(source))
    assert tuple(manifest.diagnoses) == source.diagnoses
    assert manifest.note == "synthetic"
    assert manifest.identity["options"] == {"split": "train"}
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
    assert [skip.case for skip in manifest.skipped] == ["case-0", "case-3"]
    assert "3 cases" in manifest.summary() and "2 skipped" in manifest.summary()
    assert "skipped case-3: case-3.jpg: cannot be read" in manifest.summary()


def test_a_build_without_a_usable_image_fails_and_leaves_nothing(shaded_source, tmp_path):
    with pytest.raises(InputError, match=r"the 3 cases is usable; the first, case-0: case-0\.jpg"):
        build(shaded_source(count=3, bad=range(3)), tmp_path / "set")
    assert only_folder(tmp_path) == []


@pytest.mark.parametrize(("error", "left"), [(KeyboardInterrupt, 1), (OSError, 0)])
def test_what_an_interrupted_build_leaves_is_hidden_and_gone_on_with(error, left, source, tmp_path):
    def interrupt(done, _):
        if done == 4:
            raise error

    with pytest.raises(error):
        build(source, tmp_path / "set", progress=interrupt)
    assert len(only_folder(tmp_path)) == left
    assert all(name.startswith(".set.unfinished-") for name in only_folder(tmp_path))
    build(source, tmp_path / "set")
    assert only_folder(tmp_path) == ["set"]


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


@pytest.mark.parametrize("content", [b"{", b'{"count": 3}', b"[]", b"", b"\xff\xfe", b"null"])
def test_a_broken_manifest_is_named(built, content):
    (built / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json .*build it again"):
        RecordSet(built)


@pytest.mark.parametrize(
    "key, value",
    [("count", "11"), ("shards", [{"file": 3}]), ("extra", 1), ("sizes", None), ("skipped", [1])],
)
def test_a_manifest_of_wrong_types_is_named_even_where_its_checksum_fits(built, key, value):
    content = json.loads((built / "manifest.json").read_text())
    del content["checksum"]
    content[key] = value
    content["checksum"] = hash_of(content)
    (built / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"manifest\.json: .*{key}.*build it again"):
        RecordSet(built)


def test_an_edited_manifest_is_not_believed(built):
    text = (built / "manifest.json").read_text()
    (built / "manifest.json").write_text(text.replace('"rosacea"', '"scabies"'))
    with pytest.raises(InputError, match=r"manifest\.json is damaged, edited"):
        RecordSet(built)


def read_all(folder):
    records = RecordSet(folder)
    read = [records[i] for i in range(len(records))]
    return (
        records.manifest,
        [(records.case(i), records.sizes(i)) for i in range(len(records))],
        [(record.case, record.images[0].tobytes()) for record in read],
    )


def test_a_flipped_bit_in_any_file_is_noticed_or_changes_nothing(source, tmp_path):
    """Of each file much of its beginning and end, and some of the rest."""
    build(source, tmp_path / "set", max_pixels=56 * 56)
    whole, rng = read_all(tmp_path / "set"), np.random.default_rng(0)
    noticed = dict.fromkeys((path.name for path in (tmp_path / "set").iterdir()), 0)
    assert len(noticed) == 3
    for path in (tmp_path / "set").iterdir():
        data = path.read_bytes()
        edges = {*range(0, 64, 3), *range(len(data) - 64, len(data), 3)}
        for place in sorted(edges | set(rng.integers(0, len(data), 60).tolist())):
            flipped = bytearray(data)
            flipped[place] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            try:
                assert read_all(tmp_path / "set") == whole, (path.name, place)
            except InputError as error:
                assert str(tmp_path / "set") in str(error) and "\n" not in str(error)
                noticed[path.name] += 1
        path.write_bytes(data)
    assert all(count > 10 for count in noticed.values()), noticed


def test_exchanged_shards_of_one_size_are_noticed(source, tmp_path):
    manifest = build(source, tmp_path / "set", max_pixels=56 * 56, shard_bytes=1)
    first, second = (tmp_path / "set" / shard.file for shard in manifest.shards[:2])
    assert first.stat().st_size == second.stat().st_size
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    records = RecordSet(tmp_path / "set")
    with pytest.raises(InputError, match=r"record 0 is damaged .*another one"):
        records[0]


def test_cases_and_sizes_are_known_without_reading_pixels(source, records, monkeypatch):
    sizes = [(record.images[0].shape[:2],) for record in records]
    monkeypatch.setattr(RecordSet, "__getitem__", None)
    assert [records.case(i) for i in range(len(source))] == list(map(source.case, range(11)))
    assert [records.sizes(i) for i in range(len(source))] == sizes
    assert records.select([4, 2]).case(1).case_id == "case-2"


class Changed:
    """The source with one case or image replaced; everything else is as it was."""

    def __init__(self, source, **changes):
        self._source, self._changes = source, changes
        self.name, self.diagnoses = source.name, source.diagnoses

    def __len__(self):
        return len(self._source)

    def case(self, index):
        return dataclasses.replace(
            self._source.case(index), **(self._changes if index == 4 else {})
        )

    def images(self, index):
        return self._source.images(index)

    def image_digests(self, index):
        return self._source.image_digests(index)

    def mask(self, index, size):
        return np.ones(size, bool)


@pytest.mark.parametrize(
    "change",
    [
        {"case_id": "other"},
        {"group": "other"},
        {"caption": {"colour": "blue"}},
        {"diagnosis": "acne"},
        {"attributes": {"fitzpatrick": 6}},
        {"views": ("close-up",)},
        {"soft": {"acne": 0.5, "rosacea": 0.5}},
        {"prompt": "<image>What is it?"},
        {"answer": "acne"},
        {"columns": {"solution": "acne"}},
        {"split": "test"},
        {"mask": True},
    ],
)
def test_a_change_of_any_field_of_any_case_is_not_served_stale(source, tmp_path, change):
    assert set(change) <= {field.name for field in dataclasses.fields(Case)}
    before = build(source, tmp_path / "set")
    with pytest.raises(InputError, match=r"set: the labels of the cases have changed .*remove"):
        build(Changed(source, **change), tmp_path / "set")
    assert build(Changed(source, **change), tmp_path / "other").digest != before.digest
    assert build(Changed(source), tmp_path / "set") == before


def test_every_field_of_a_case_is_tried_above():
    names = {"case_id", "group", "caption", "diagnosis", "attributes"}
    names |= {"views", "soft", "prompt", "answer", "columns", "split", "mask"}
    assert {field.name for field in dataclasses.fields(Case)} == names


def test_an_exchanged_image_is_not_served_stale(source, shaded_source, tmp_path, monkeypatch):
    before = build(source, tmp_path / "set")
    monkeypatch.setattr(shaded_source, "shade", staticmethod(lambda index: 11 + 20 * index))
    with pytest.raises(InputError, match="the image files have changed since these records were"):
        build(source, tmp_path / "set")
    assert build(source, tmp_path / "other").digest != before.digest


def test_another_version_of_the_resize_is_not_served(source, tmp_path, monkeypatch):
    before = build(source, tmp_path / "set")
    monkeypatch.setattr(records_module, "RESIZE_VERSION", 2)
    with pytest.raises(InputError, match="resize_version=1 but resize_version=2 is asked for"):
        build(source, tmp_path / "set")
    assert build(source, tmp_path / "other").digest != before.digest


def test_the_digest_depends_on_content_alone(source, tmp_path):
    assert build(source, tmp_path / "a").digest == build(source, tmp_path / "b" / "c").digest


def test_images_of_nearly_one_colour_are_kept_and_listed(shaded_source, tmp_path):
    class OneScene(shaded_source):
        def images(self, index):
            scene = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
            return [scene] if index == 1 else super().images(index)

    manifest = build(OneScene(count=3), tmp_path / "set")
    assert [entry.case for entry in manifest.plain] == ["case-0", "case-2"]
    assert manifest.count == 3 and manifest.has_news
    assert "kept case-2: an image of it is nearly of one colour" in manifest.summary()


def test_a_long_summary_is_cut_and_says_where_the_rest_is(shaded_source, tmp_path):
    bad = shaded_source(count=15, bad=range(1, 15))
    summary = build(bad, tmp_path / "set").summary().splitlines()
    assert "14 skipped" in summary[0]
    assert sum("skipped case-" in line for line in summary) == 10
    assert "  … and 4 more, listed in manifest.json" in summary


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


KILLED = """
import pathlib, sys
sys.path.insert(0, {tests!r})
from conftest import ShadedSource
from skinflow_jax.data import records

class Slow(ShadedSource):
    def images(self, index):
        if index == {at}:
            import os, signal
            os.kill(os.getpid(), signal.{signal})
        return super().images(index)

records.build_records(
    Slow(count=12), pathlib.Path(sys.argv[1]), fingerprint={{}}, min_pixels=56 * 56,
    max_pixels=112 * 168, shard_bytes=200_000,
)
"""


@pytest.mark.parametrize(("at", "number"), [(2, "SIGKILL"), (5, "SIGKILL"), (9, "SIGINT")])
def test_a_killed_build_goes_on_where_it_was_and_ends_with_the_same_bytes(
    at, number, shaded_source, tmp_path
):
    program = KILLED.format(tests=str(Path(__file__).parent), at=at, signal=number)
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a" / "set")])
    assert done.returncode != 0 and not (tmp_path / "a" / "set").exists()
    asked = []

    class Counted(shaded_source):
        def images(self, index):
            asked.append(index)
            return super().images(index)

    sizes = {**BUDGET, "fingerprint": {}, "shard_bytes": 200_000}
    build_records(Counted(count=12), tmp_path / "a" / "set", **sizes)
    build_records(shaded_source(count=12), tmp_path / "b" / "set", **sizes)
    assert sorted(asked) == list(range(min(asked), 12)) and (at < 3) == (min(asked) == 0)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / run / "set").iterdir()}
        for run in "ab"
    ]
    assert files[0] == files[1] and len(files[0]) > 5
    assert only_folder(tmp_path / "a") == ["set"]


def test_more_unusable_cases_than_allowed_end_the_build(shaded_source, tmp_path):
    bad = shaded_source(count=10, bad=(3,))
    with pytest.raises(InputError, match=r"1 of 10 cases are unusable, more than the 5% .*case-3"):
        build(bad, tmp_path / "set", most_skipped=0.05)
    assert build(bad, tmp_path / "set", most_skipped=0.1).count == 9
