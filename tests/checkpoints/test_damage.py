"""Whatever happens to a checkpoint's files is noticed, named in one line, and got round."""

import errno
import json
import os
import random
import shutil

import jax
import pytest
from small_state import files_of, same, small_run, small_state

from skinflow_jax.checkpoints import checksums
from skinflow_jax.checkpoints.checksums import FILE, write_checksums
from skinflow_jax.checkpoints.run_state import RunCheckpoints, load_model, read_facts
from skinflow_jax.checkpoints.step_folders import METADATA
from skinflow_jax.errors import InputError

LAYOUT = jax.eval_shape(lambda: small_state(0))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("whole") / "checkpoints")


@pytest.fixture
def run(whole, tmp_path):
    """Checkpoints 1 and 2, to be damaged."""
    return shutil.copytree(whole, tmp_path / "checkpoints")


def restored(folder, step=None):
    """(the step that was restored, what was said)"""
    said = []
    with RunCheckpoints(folder, say=said.append) as checkpoints:
        state, facts, step = checkpoints.restore(LAYOUT, step=step)
    assert same(state, small_state(step)) and facts["seed"] == 7
    return step, said


def flip(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("flips", [pytest.param(40), pytest.param(400, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_noticed_and_its_file_named(run, flips):
    rng = random.Random(flips)
    files = files_of(run / "2")
    for i in range(flips):
        file = files[i % len(files)]
        sound = file.read_bytes()
        flip(file, rng)
        with RunCheckpoints(run) as checkpoints, pytest.raises(InputError) as error:
            checkpoints.restore(LAYOUT, step=2)
        assert str(file) in str(error.value) and "--step=1" in str(error.value)
        assert "\n" not in str(error.value)
        file.write_bytes(sound)
    assert restored(run) == (2, [])


def test_flipped_bits_in_a_checkpoint_that_was_killed_before_its_sums_are_noticed_too(run):
    """Its arrays and facts carry sums of their own."""
    rng = random.Random(0)
    (run / "2" / FILE).unlink()
    for file in files_of(run / "2"):
        for _ in range(3):
            sound = file.read_bytes()
            flip(file, rng)
            step, said = restored(run)
            assert step == 2 or str(run / "2") in said[0]
            (run / "2" / FILE).unlink(missing_ok=True)  # written again where the flip did no harm
            file.write_bytes(sound)


def truncate(step):
    path = max(files_of(step), key=lambda p: p.stat().st_size)
    os.truncate(path, 100)


def half_copied(step):
    for path in sorted(step.rglob("*"))[::2]:
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def empty(step):
    shutil.rmtree(step)
    step.mkdir()


def no_json(step):
    (step / METADATA).write_text("{")
    (step / FILE).unlink()


def other_json(step):
    (step / METADATA).write_text("[1]")
    (step / FILE).unlink()


def other_facts(step):
    content = json.loads((step / METADATA).read_text())
    content["custom_metadata"]["seed"] = 8
    (step / METADATA).write_text(json.dumps(content))
    (step / FILE).unlink()


def wrong_types(step):
    """What Orbax meets as it looks for the arrays' shapes."""
    (step / "state" / "_METADATA").write_text('{"tree_metadata": 3}')
    (step / FILE).unlink()


def other_names(step):
    path = step / "state" / "_METADATA"
    path.write_text(path.read_text().replace("kernel", "kermel"))
    (step / FILE).unlink()


def folder_for_file(step):
    path = step / "state" / "manifest.ocdbt"
    path.unlink()
    path.mkdir()


def folder_for_sums(step):
    (step / FILE).unlink()
    (step / FILE).mkdir()


def one_file_missing(step):
    (step / "state" / "_METADATA").unlink()


def of_another_step(step):
    shutil.rmtree(step)
    shutil.copytree(step.parent / "1", step)


DAMAGES = [
    *(truncate, half_copied, empty, no_json, other_json, other_facts, wrong_types),
    *(other_names, folder_for_file, folder_for_sums, one_file_missing),
    of_another_step,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_step_is_named_with_the_newest_whole_one_which_a_plain_restore_takes(
    run, damage, capfd
):
    damage(run / "2")
    step, (told,) = restored(run)
    assert step == 1
    assert str(run / "2") in told and "step 1 is taken" in told and "\n" not in told
    with pytest.raises(InputError, match=r"/2.*--step=1$"):
        restored(run, step=2)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_where_no_checkpoint_is_whole_that_is_said(run):
    for step in ("1", "2"):
        truncate(run / step)
    with pytest.raises(InputError, match=r"/2/state/.* no checkpoint there is whole"):
        restored(run)
    with pytest.raises(InputError, match=r"/1/.* no earlier checkpoint is whole"):
        restored(run, step=1)


def test_other_names_and_other_files_do_no_harm(run):
    for name in ("2.bak", "02", "step_3", "3.orbax-checkpoint-tmp", "-4", "٣"):
        shutil.copytree(run / "1", run / name)
    (run / "2" / ".nfs000").write_text("left by a file server")
    (run / "README").write_text("mine")
    assert restored(run) == (2, [])
    assert (run / "2.bak").is_dir() and (run / "README").exists()


def test_a_file_that_has_the_name_of_a_step_is_named_before_anything_runs(run):
    (run / "17").write_text("")
    with pytest.raises(InputError, match=r"checkpoints/17 is a file.* move it away"):
        RunCheckpoints(run)


def test_a_checkpoint_without_sums_of_an_earlier_version_is_read_with_a_note(run):
    content = json.loads((run / "2" / METADATA).read_text())
    del content["custom_metadata"]["_seal"]
    (run / "2" / METADATA).write_text(json.dumps(content))
    (run / "2" / FILE).unlink()
    step, (told,) = restored(run)
    assert step == 2 and "without checksums" in told
    assert not (run / "2" / FILE).exists(), "what was not compared must not look as if it were"


def test_arrays_other_than_those_saved_are_noticed_where_the_files_are_sound(run):
    """As if memory had failed on the way to the disk: the sums were made of the wrong bytes."""
    with RunCheckpoints(run) as checkpoints:
        checkpoints.save(3, small_state(3), facts={"seed": 7})
    shutil.rmtree(run / "3" / "state")
    shutil.copytree(run / "2" / "state", run / "3" / "state")
    write_checksums(run / "3")
    step, (told,) = restored(run)
    assert step == 2 and "its arrays are not those that were saved" in told


def test_facts_are_read_without_arrays(run):
    shutil.rmtree(run / "2" / "state")
    assert read_facts(run, 2)["seed"] == 7
    with pytest.raises(InputError, match=r"step 9: there are \[1, 2\]"):
        read_facts(run, 9)
    with pytest.raises(InputError, match="no finished checkpoint"):
        read_facts(run.parent)


@pytest.mark.parametrize("step", [None, 2])
def test_a_model_is_not_loaded_from_a_damaged_step_nor_silently_from_another(run, step):
    truncate(run / "2")
    (run / "3").mkdir()  # never was a checkpoint
    with pytest.raises(InputError, match=r"/2/.*--step=1"):
        load_model(run, step=step)


def test_sums_that_are_no_file_are_not_taken_for_none(run):
    (run / "2" / FILE).unlink()
    (run / "2" / FILE).mkdir()
    step, said = restored(run)
    assert step == 1 and f"{run / '2'}" in said[0]


def test_a_file_that_may_not_be_read_is_not_passed_over_but_named(run, monkeypatch):
    """An operator mends that at once; to go on from an older step would throw work away."""
    secret, read = files_of(run / "2")[3], checksums._digest

    def forbidden(path):
        if path == secret:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(checksums, "_digest", forbidden)
    for step in (None, 2):
        with pytest.raises(InputError, match=rf"{secret}: permission denied.*--step=1$"):
            restored(run, step)
