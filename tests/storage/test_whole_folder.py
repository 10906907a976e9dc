"""A folder appears whole or not at all, and what a kill leaves does not stay."""

import signal
import subprocess
import sys

import pytest

from skinflow_jax.storage.whole_folder import remove_leftovers, whole_folder

WRITER = """
import pathlib, sys, time
from skinflow_jax.storage.whole_folder import whole_folder
with whole_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "weights").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def start_writer(folder):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "writing\n"
    return writer


def stop(writer):
    writer.send_signal(signal.SIGKILL)
    writer.communicate()


def test_the_folder_appears_when_the_block_ends_and_not_after_an_error(tmp_path):
    with whole_folder(tmp_path / "a" / "out") as folder:
        (folder / "file").write_text("whole")
        assert not (tmp_path / "a" / "out").exists()
    assert (tmp_path / "a" / "out" / "file").read_text() == "whole"
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "b") as folder:
        (folder / "file").write_text("half")
        raise RuntimeError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_an_empty_folder_is_filled_and_a_full_one_is_not_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("first")
    with pytest.raises(OSError), whole_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("second")
    assert (tmp_path / "out" / "file").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_writer_left_is_removed_and_told_and_a_living_one_is_let_alone(tmp_path):
    said = []
    dead, living = (start_writer(tmp_path / "out") for _ in range(2))
    stop(dead)
    (tmp_path / ".other.unfinished-1").mkdir()
    try:
        remove_leftovers(tmp_path / "out", say=said.append)
        left = [p for p in tmp_path.iterdir() if p.name.startswith(".out.")]
        assert len(left) == len(said) == 1 and "killed" in said[0]
        assert (left[0] / "weights").exists() and str(left[0]) not in said[0]
    finally:
        stop(living)
    with whole_folder(tmp_path / "out", say=said.append) as folder:
        (folder / "weights").write_text("whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.unfinished-1", "out"]
    assert len(said) == 2
