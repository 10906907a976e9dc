"""One run writes a workdir; a second one is told which, and all of its processes see the same."""

import os
import re
import socket
import subprocess
import sys
import threading

import pytest

from skinflow_jax.errors import InputError
from skinflow_jax.runs import lock
from skinflow_jax.runs.lock import FILE, _wait_until_seen, workdir_lock

HOLD = """
import sys, time
from pathlib import Path
from skinflow_jax.runs.lock import workdir_lock
with workdir_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_process_is_refused_with_the_first_ones_name(holder, tmp_path):
    for _ in range(2):  # a refused one does not make the other forget its name
        with pytest.raises(InputError) as error, workdir_lock(tmp_path / "run"):
            pass
        assert f"in use by process {holder.pid} on " in str(error.value)


def test_a_killed_process_leaves_nothing_to_clean(holder, tmp_path):
    holder.kill()
    holder.wait()
    with workdir_lock(tmp_path / "run"):
        assert f'"process": {os.getpid()}' in (tmp_path / "run" / FILE).read_text()
    with workdir_lock(tmp_path / "run"):
        pass


def test_a_file_that_is_not_ours_is_no_reason_to_fail(tmp_path):
    (tmp_path / FILE).write_bytes(b"\xff\x00 nonsense")
    with workdir_lock(tmp_path):
        assert f'"process": {os.getpid()}' in (tmp_path / FILE).read_text()


def test_a_workdir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"workdir .*file/run: .*choose another"),
        workdir_lock(tmp_path / "file" / "run"),
    ):
        pass


def test_processes_that_do_not_write_hold_nothing(holder, tmp_path):
    with workdir_lock(tmp_path / "run", enabled=False):
        pass


def test_what_another_machine_writes_may_be_seen_late(tmp_path):
    """As over NFS: the folder is there, an older lock is read for a while."""
    path = tmp_path / FILE
    path.write_text("of an earlier run")
    threading.Timer(0.5, path.write_text, ["of this run"]).start()
    _wait_until_seen(path, "of this run")


@pytest.mark.parametrize("there", ["of another run", "", None])
def test_a_folder_of_that_name_that_is_another_is_named_with_its_machine(
    tmp_path, monkeypatch, there
):
    monkeypatch.setattr(lock, "SEEN_WITHIN", 0.5)
    if there is not None:
        (tmp_path / FILE).write_text(there)
    words = f"workdir {tmp_path} on {socket.gethostname()} is not the folder that process 0 writes"
    with pytest.raises(InputError, match=re.escape(words)):
        _wait_until_seen(tmp_path / FILE, "of this run")
