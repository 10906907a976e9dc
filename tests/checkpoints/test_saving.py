"""What is saved, what is kept, and what a save that cannot succeed says."""

import dataclasses
import errno
import logging
import os
import subprocess
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_state import same, small_run, small_state

from skinflow_jax.checkpoints import run_state
from skinflow_jax.checkpoints.fingerprint import fingerprint, sum_on_device, sum_on_host
from skinflow_jax.checkpoints.reading import newest_whole
from skinflow_jax.checkpoints.run_state import RunCheckpoints
from skinflow_jax.checkpoints.step_folders import Retention, read_seal
from skinflow_jax.checkpoints.storage_errors import cause, explained, explaining
from skinflow_jax.errors import InputError, RunError

LAYOUT = jax.eval_shape(lambda: small_state(0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_state_that_is_not_finite_is_never_written(tmp_path, value):
    run, state = small_run(tmp_path, [1]), small_state(2)
    kernel = state.model.kernel.at[3, 4].set(value)
    broken = dataclasses.replace(state, model=dataclasses.replace(state.model, kernel=kernel))
    with RunCheckpoints(run) as checkpoints:
        with pytest.raises(RunError, match=r"step 2: not finite: model/kernel; nothing was saved"):
            checkpoints.save(2, broken, facts={})
        assert checkpoints.steps() == [1] and checkpoints.latest_step == 1
    assert [p.name for p in run.iterdir()] == ["1"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int32", "int8", "bool"])
def test_a_fingerprint_is_the_same_on_host_and_devices_and_moves_with_every_bit(dtype):
    x = (np.random.default_rng(0).normal(size=(2, 3, 5)) * 9).astype(jnp.dtype(dtype))
    whole, start = (4, 6, 8), np.array([1, 2, 3], np.uint32)
    finite, total = sum_on_host(x, start, whole)
    assert (finite, total) == tuple(map(np.asarray, sum_on_device(x, start, whole))) and finite
    if dtype == "bool":
        return
    for place in range(x.size * x.dtype.itemsize * 8):
        bits = np.frombuffer(bytearray(x.tobytes()), np.uint8)
        bits[place // 8] ^= 1 << place % 8
        assert sum_on_host(bits.view(x.dtype).reshape(x.shape), start, whole)[1] != total


def test_a_tensors_sum_is_that_of_its_parts():
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    parts = [
        sum_on_host(x[rows : rows + 3, columns : columns + 2], (rows, columns), x.shape)[1]
        for rows in (0, 3)
        for columns in (0, 2)
    ]
    assert np.sum(parts, dtype=np.uint32) == sum_on_host(x, (0, 0), x.shape)[1]


def test_a_fingerprint_does_not_depend_on_how_arrays_are_laid_out():
    state = small_state(1)
    moved = dataclasses.replace(state, moments={"mu": state.moments["mu"].T})
    assert fingerprint(state).of() == fingerprint(jax.tree.map(np.asarray, state)).of()
    assert fingerprint(state).of() != fingerprint(moved).of()
    assert fingerprint(state).of("model/") == fingerprint(moved).of("model/")


def test_descriptors_and_threads_do_not_grow_with_saves(tmp_path):
    def count():
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    with RunCheckpoints(tmp_path) as checkpoints:
        for step in range(1, 12):
            checkpoints.save(step, small_state(step), facts={}, wait=True)
            if step == 2:
                early = count()
        assert count() == early
    assert threading.active_count() < early[1]


METRICS = {1: {"loss": 5.0}, 2: {"loss": 1.0}, 3: {"loss": float("nan")}, 4: {"loss": 1.0}, 6: {}}


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"keep": 2}, {4, 6}),
        ({"keep": 9}, {1, 2, 3, 4, 6}),
        ({"keep": 1, "every": 2}, {2, 4, 6}),
        ({"keep": 1, "best": 1, "metric": "loss"}, {1, 6}),
        ({"keep": 1, "best": 1, "metric": "loss", "best_is_max": False}, {4, 6}),
        ({"keep": 1, "best": 2, "metric": "loss", "best_is_max": False}, {2, 4, 6}),
        ({"keep": 1, "best": 9, "metric": "loss"}, {1, 2, 4, 6}),
        ({"keep": 1, "best": 1, "metric": "absent"}, {6}),
    ],
)
def test_what_is_kept(options, kept):
    assert Retention(**options).kept(METRICS) == kept


def test_the_best_and_the_latest_stay_on_disk_after_the_run_was_opened_again(tmp_path):
    options = {"keep": 1, "keep_every": 4, "keep_best": 1, "best_metric": "reward"}
    for steps in (range(1, 4), range(4, 7)):
        with RunCheckpoints(tmp_path, **options) as checkpoints:
            for step in steps:
                metrics = {"reward": 1.0 if step == 2 else 0.1 * step}
                checkpoints.save(step, small_state(step), facts={}, metrics=metrics)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "4", "6"]


def test_figures_that_are_not_finite_do_not_make_a_checkpoint_unreadable(tmp_path):
    metrics = {"reward": np.nan, "delta": np.inf, "loss": 0.5}
    with RunCheckpoints(tmp_path, keep_best=1, best_metric="reward") as checkpoints:
        checkpoints.save(1, small_state(1), facts={}, metrics=metrics, wait=True)
        assert checkpoints.restore(LAYOUT, step=1)[2] == 1
        with pytest.raises(ValueError, match="JSON"):
            checkpoints.save(2, small_state(2), facts={"rate": np.nan})
    assert read_seal(tmp_path / "1")[1]["metrics"] == {"loss": 0.5}


def test_a_metric_that_is_not_finite_does_not_spoil_the_checkpoint(tmp_path):
    options = {"keep": 1, "keep_best": 1, "best_metric": "reward"}
    with RunCheckpoints(tmp_path, **options) as checkpoints:
        for step, reward in ((1, 0.5), (2, np.nan), (3, np.inf), (4, 0.1)):
            metrics = {"reward": reward, "loss": 1.0}
            checkpoints.save(step, small_state(step), facts={}, metrics=metrics, wait=True)
            assert newest_whole(tmp_path) == step
        assert checkpoints.steps() == [1, 4]


def test_a_step_without_the_metric_that_ranks_it_is_told(tmp_path):
    """A metric that is misspelt would rank none, and nobody would know."""
    options, said = {"keep_best": 1, "best_metric": "rewrd"}, []
    with RunCheckpoints(tmp_path, say=said.append, **options) as checkpoints:
        checkpoints.save(1, small_state(1), facts={}, metrics={"reward": 1.0, "loss": np.nan})
    assert said == [
        "step 1 has no rewrd, by which the best checkpoints are kept, and is none of them; it has "
        "reward"
    ]


def test_going_back_to_an_earlier_step_replaces_the_later_history_only_once_there_is_a_new_one(
    tmp_path,
):
    run = small_run(tmp_path, [10, 12, 14], keep=9)
    with RunCheckpoints(run, keep=9) as checkpoints:
        checkpoints.restore(LAYOUT, step=10)
        assert checkpoints.latest_step == 10
        assert checkpoints.steps() == [10, 12, 14]
        checkpoints.save(10, small_state(10), facts={})  # nothing to do
        checkpoints.save(12, small_state(99), facts={}, wait=True)
        assert checkpoints.steps() == [10, 12] and checkpoints.latest_step == 12
    with RunCheckpoints(run, keep=9) as checkpoints:
        state, _, step = checkpoints.restore(LAYOUT)
    assert step == 12 and same(state, small_state(99))


def test_a_damaged_step_that_was_passed_over_is_replaced_when_the_run_reaches_it(tmp_path):
    run = small_run(tmp_path, [1, 2])
    (run / "2" / "_CHECKPOINT_METADATA").unlink()
    (run / "3").mkdir()
    with RunCheckpoints(run, say=lambda _: None) as checkpoints:
        assert checkpoints.restore(LAYOUT)[2] == 1
        checkpoints.save(2, small_state(2), facts={}, wait=True)
    assert sorted(p.name for p in run.iterdir()) == ["1", "2"]
    with RunCheckpoints(run) as checkpoints:
        assert checkpoints.restore(LAYOUT)[2] == 2


def test_a_whole_step_of_a_run_that_was_not_restored_is_left_alone(tmp_path):
    run = small_run(tmp_path, [1])
    before = (run / "1" / "SHA256SUMS").read_text()
    with RunCheckpoints(run) as checkpoints:
        checkpoints.save(1, small_state(5), facts={})
    assert (run / "1" / "SHA256SUMS").read_text() == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def large_state(step):
    state = small_state(step)
    noise = np.random.default_rng(step).normal(size=30_000).astype(np.float32)
    return dataclasses.replace(state, moments={"mu": jnp.asarray(noise)})


def test_a_full_disk_is_named_and_the_earlier_checkpoint_stays(small_disk, capfd):
    run = small_disk / "run"
    with (
        pytest.raises(RunError, match=rf"{run}.*: no space left on device") as error,
        RunCheckpoints(run) as checkpoints,
    ):
        for step in (1, 2, 3):
            checkpoints.save(step, large_state(step), facts={}, wait=True)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""
    layout = jax.eval_shape(lambda: large_state(0))
    with RunCheckpoints(run) as checkpoints:  # which makes room again
        state, _, step = checkpoints.restore(layout)
        assert same(state, large_state(step))


def test_a_disk_mounted_for_reading_only_is_named(small_disk):
    run = small_run(small_disk / "run", [1])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        with RunCheckpoints(run) as checkpoints:
            assert checkpoints.restore(LAYOUT)[2] == 1
            with pytest.raises(InputError, match=r"read-only file system: mount it for writing"):
                checkpoints.save(2, small_state(2), facts={}, wait=True)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


def test_an_error_that_ended_the_run_is_not_hidden_by_a_save_that_failed(tmp_path, monkeypatch):
    def full(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_state, "write_checksums", full)
    said = []
    with (
        pytest.raises(KeyError, match="the run's own"),
        RunCheckpoints(tmp_path, say=said.append) as checkpoints,
    ):
        checkpoints.save(1, small_state(1), facts={})
        raise KeyError("the run's own")
    assert len(said) == 1 and "no space left on device" in said[0]


def test_what_orbax_logs_of_a_failure_that_was_raised_is_not_said_again(tmp_path):
    """Its threads do, after the run has gone on or ended."""
    with pytest.raises(RunError), explaining(tmp_path):
        raise OSError(errno.ENOSPC, "")
    absl = logging.getLogger("absl")
    late = absl.makeRecord("absl", logging.ERROR, "orbax/future.py", 1, "raised", (), None)
    assert not absl.filter(late)
    # Of a logger that was there before absl, whose records name absl's own file.
    late = absl.makeRecord("absl", logging.ERROR, "absl/logging.py", 1, "raised", (), None)
    found = {"filter": absl.filter, "late": late}
    exec(compile("kept = filter(late)", "orbax/future.py", "exec"), found)
    assert absl.filter(late) and not found["kept"]


def wrapped(error, inner):
    error.__cause__ = inner
    return error


FULL = "RESOURCE_EXHAUSTED: Failed writing x: No space left on device [os_error_code='28']"
PATH = os.sep + "run"


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (ValueError(FULL), RunError, "no space left on device: free some space"),
        (wrapped(RuntimeError("save failed"), OSError(errno.ENOSPC, "")), RunError, "no space"),
        (OSError(errno.EDQUOT, "", "/run/x"), RunError, "/run/x: disk quota exceeded"),
        (PermissionError(errno.EACCES, "", "/run/x"), InputError, "/run/x: permission denied"),
        (ValueError("PERMISSION_DENIED: Permission denied [errno=13]"), InputError, "permission"),
        (OSError(errno.EMFILE, ""), RunError, "too many open files: raise the limit"),
        (OSError(errno.EIO, ""), RunError, "input/output error: look at the disk"),
        (ValueError("what\nnobody expected"), RunError, r"written \(ValueError: what nobody"),
    ],
)
def test_an_error_is_told_by_its_cause(tmp_path, error, kind, told):
    found = explained(error, tmp_path)
    assert type(found) is kind and "\n" not in str(found)
    with pytest.raises(kind, match=told):
        raise found


def test_memory_that_ran_out_on_a_device_stays_what_it_is(tmp_path):
    error = RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4096 bytes")
    assert explained(error, tmp_path) is error and cause(error, tmp_path) is None
