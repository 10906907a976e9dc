"""A run whose workdir is in a bucket: whole there, resumed on another machine, nothing renamed."""

import dataclasses
import json
import re
from pathlib import Path

import fake_gcs
import jax
import numpy as np
import pytest
from random_model import SHALLOW
from stand_in import SMALL_RUN, stand_ins

from skinflow_jax.checkpoints.checksums import check_files
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.run_state import read_facts
from skinflow_jax.checkpoints.step_folders import COMMITTED
from skinflow_jax.cli import main
from skinflow_jax.errors import InputError, RunError
from skinflow_jax.models.vlm import init_model
from skinflow_jax.runs.opening import open_checkpoint
from skinflow_jax.runs.policies import import_hf
from skinflow_jax.runs.train import train
from skinflow_jax.runs.workdir import FAILURE, LOCK, RECORDS, Workdir
from skinflow_jax.storage.paths import storage_path
from skinflow_jax.tokenizers import train_sentencepiece

pytestmark = pytest.mark.slow

RUN = "gs://bucket/runs/first"
INSIDE = RUN.removeprefix("gs://")


def longer(steps):
    return dataclasses.replace(SMALL_RUN, loop=dataclasses.replace(SMALL_RUN.loop, steps=steps))


def leaves(model):
    return [np.asarray(x) for x in jax.tree.leaves(model)]


def objects():
    return {n.removeprefix(f"{INSIDE}/") for n in fake_gcs.OBJECTS if n.startswith(INSIDE)}


def steps_of(name):
    return [json.loads(line)["step"] for line in fake_gcs.OBJECTS[f"{INSIDE}/{name}"].splitlines()]


@pytest.fixture(scope="module", autouse=True)
def cloud():
    server = fake_gcs.serve()
    with pytest.MonkeyPatch.context() as patch:
        stand_ins(patch)
        yield
    server.shutdown()


@pytest.fixture(scope="module")
def first_two_steps(cloud, tmp_path_factory):
    """The objects of a run of two steps, and its parameters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        fake_gcs.clear()
        policy = train(SMALL_RUN, RUN)
    return dict(fake_gcs.OBJECTS), leaves(policy.model)


@pytest.fixture
def run(first_two_steps, tmp_path, monkeypatch):
    """The run in its bucket, seen from a machine that has nothing of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fake_gcs.clear()
    for name, content in first_two_steps[0].items():
        fake_gcs.put(name, content)
    return first_two_steps[1]


def test_what_a_run_writes_is_in_the_bucket(run):
    expected = {"config.json", "preprocessor_config.json", "metrics.jsonl", "rollouts.jsonl"}
    expected |= {"tokenizer/tokenizer.json", "checkpoints/2/SHA256SUMS"}
    assert expected <= objects()
    assert any(name.startswith("tensorboard/") for name in objects())
    assert not any(name.startswith(("records/", ".lock")) for name in objects())
    assert steps_of("metrics.jsonl") == [1, 2]
    assert check_files(storage_path(f"{RUN}/checkpoints/2"))


@pytest.mark.parametrize("page", ["docs/storage.md", "launch/README.md"])
def test_the_tables_name_what_a_run_writes(run, tmp_path, page):
    table = (Path(__file__).parents[2] / page).read_text()
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name.split("/")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    here = {path.name for path in (tmp_path / "cache").glob("skinflow_jax/workdirs/*/*")}
    assert {name.split("/")[0] for name in objects()} | here | {FAILURE, RECORDS, LOCK} <= named


def test_another_machine_goes_on(run):
    policy = train(longer(4), RUN, resume=True)
    assert all(map(np.array_equal, leaves(policy.model), run))  # the stand-in learns nothing
    assert steps_of("metrics.jsonl") == [1, 2, 3, 4]
    facts = read_facts(storage_path(f"{RUN}/checkpoints"))
    assert facts["examples"] == 4 * SMALL_RUN.batch_size
    kept = {name.split("/")[1] for name in objects() if name.startswith("checkpoints/")}
    assert kept == {"3", "4"}


def test_a_run_is_not_begun_over_another(run):
    before = dict(fake_gcs.OBJECTS)
    with pytest.raises(InputError, match=f"{RUN} holds a run already: add --resume"):
        train(SMALL_RUN, RUN)
    assert before == fake_gcs.OBJECTS


def test_a_save_that_was_killed_does_not_count_and_is_removed(run, capsys):
    fake_gcs.delete(f"{INSIDE}/checkpoints/2/{COMMITTED}")
    assert main(["inspect", f"--checkpoint={RUN}"]) == 0
    assert open_checkpoint(storage_path(RUN)).step == 1
    fake_gcs.put(f"{INSIDE}/checkpoints/7/state/d/half", b"half")
    train(longer(3), RUN, resume=True)
    assert not any(name.startswith("checkpoints/7/") for name in objects())
    assert check_files(storage_path(f"{RUN}/checkpoints/2"))


def test_a_damaged_object_is_named_and_the_step_before_it_taken(run, capsys):
    name = max(objects(), key=lambda n: "checkpoints/2/state/" in n and len(content(n)))
    damaged = bytearray(content(name))
    damaged[len(damaged) // 2] ^= 1
    fake_gcs.put(f"{INSIDE}/{name}", bytes(damaged))
    train(longer(3), RUN, resume=True)
    told = capsys.readouterr().err
    assert f"{RUN}/{name} is damaged" in told and "step 1 is taken" in told


def content(name):
    return fake_gcs.OBJECTS[f"{INSIDE}/{name}"]


def test_a_run_starts_from_a_checkpoint_in_a_bucket(run, tmp_path):
    model = dataclasses.replace(SMALL_RUN.model, init_from=RUN)
    policy = train(dataclasses.replace(SMALL_RUN, model=model), tmp_path / "second")
    assert all(map(np.array_equal, leaves(policy.model), run))
    facts = read_facts(tmp_path / "second" / "checkpoints")
    assert facts["origin"]["folder"] == RUN and facts["origin"]["step"] == 2


def test_a_hugging_face_folder_in_a_bucket_is_refused(run):
    fake_gcs.put("bucket/hf/config.json", b"{}")
    with pytest.raises(InputError, match="Hugging Face folder gs://bucket/hf must be on this"):
        open_checkpoint(storage_path("gs://bucket/hf"))


@pytest.mark.parametrize("begin", ["import", "train"])
def test_what_a_start_that_was_killed_left_in_the_bucket_is_no_part_of_the_run(
    begin, run, tmp_path
):
    fake_gcs.clear()
    stale = ("tokenizer/added_tokens.json", "source/generation_config.json")
    for name in stale:
        fake_gcs.put(f"{INSIDE}/{name}", b"{}")
    if begin == "train":
        train(SMALL_RUN, RUN)
    else:
        tokenizer = train_sentencepiece(["a plaque"] * 9, tmp_path / "t", vocab_size=300)
        model = init_model(SHALLOW.with_tokenizer(tokenizer), 0)
        save_pretrained(model, tmp_path / "hf", tokenizer=tokenizer)
        (tmp_path / "hf" / "generation_config.json").unlink()
        import_hf(tmp_path / "hf", storage_path(RUN))
    assert not objects() & set(stale)
    open_checkpoint(storage_path(RUN))


def test_a_bucket_that_does_not_answer_ends_the_run_with_what_is_saved(run, monkeypatch):
    def refused(name, written):
        if "metrics" in name:
            raise ConnectionError("no route to the bucket")
        return put(name, written)

    put = fake_gcs.put
    monkeypatch.setattr(fake_gcs, "put", refused)
    with pytest.raises(RunError, match=f"{RUN} cannot be reached .*step 2 is saved in {RUN}"):
        train(longer(3), RUN, resume=True)


@pytest.mark.parametrize("nth", [1, 2, 4, 8])
def test_a_bucket_that_does_not_answer_is_not_taken_for_an_empty_one(run, monkeypatch, nth):
    def sometimes(self, path, **options):
        nonlocal asked
        asked += 1
        if asked == nth:
            raise ConnectionError("no route to the bucket")
        return find(self, path, **options)

    asked, find = 0, fake_gcs.FileSystem.find
    monkeypatch.setattr(fake_gcs.FileSystem, "find", sometimes)
    with pytest.raises((InputError, RunError), match=rf"{RUN}.*no route to the bucket"):
        train(longer(3), RUN, resume=True)
    assert {f"checkpoints/{step}/{COMMITTED}" for step in (1, 2)} <= objects()
    assert steps_of("metrics.jsonl") == [1, 2]


def test_nothing_of_an_earlier_run_under_the_same_address_is_left_here(run, tmp_path):
    place = Workdir.of(RUN)
    stale = place.local / "eval" / "9" / "metrics.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    (place.local / "records").mkdir()
    with place.synced():
        assert not stale.exists() and (place.local / "records").is_dir()
    assert "eval/9/metrics.json" not in objects()


def test_a_local_workdir_is_one_folder(tmp_path):
    place = Workdir.of(tmp_path)
    assert place.local == place.address == Path(tmp_path)
    (tmp_path / "file").write_text("")
    with place.synced():
        assert (tmp_path / "file").exists()
