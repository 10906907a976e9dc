"""A folder appears whole or not at all, and what a kill leaves does not stay."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skinflow_jax.errors import InputError
from skinflow_jax.storage.whole_folder import (
    FolderTaken,
    check_vacant,
    remove_leftovers,
    whole_folder,
)

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
    taken = pytest.raises(FolderTaken, match="out was made by another process meanwhile")
    with taken, whole_folder(tmp_path / "out") as folder:
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


@pytest.mark.parametrize("there", [True, False])
def test_through_a_link_the_folder_is_made_where_it_leads(tmp_path, there):
    target, link = tmp_path / "disk" / "out", tmp_path / "link"
    if there:
        target.mkdir(parents=True)
    link.symlink_to(target)
    check_vacant(link)
    with whole_folder(link) as folder:
        (folder / "file").write_text("whole")
    assert (target / "file").read_text() == "whole" and link.is_symlink()
    with pytest.raises(InputError, match="link exists and is not empty"):
        check_vacant(link)


def test_what_a_rename_cannot_replace_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    here, disk, file = (tmp_path / name for name in ("here", "disk", "file"))
    here.mkdir()
    disk.mkdir()
    file.touch()
    monkeypatch.chdir(here)
    for folder in (Path(), Path("../here"), here):
        with pytest.raises(InputError, match=r"is the current folder: name a new folder in it"):
            check_vacant(folder)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == disk)
    with pytest.raises(InputError, match=r"disk is a mounted disk: .* in it, .*disk/model"):
        check_vacant(disk)
    with pytest.raises(InputError, match="file is there and no folder"):
        check_vacant(file)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="loop is there and no folder"):
        check_vacant(loop)
    check_vacant(Path("new"))
    with whole_folder(Path("new")) as folder:
        (folder / "file").touch()
    assert (here / "new" / "file").exists()
