"""launch/machine: the project as it is packed, and scripts that are given too little."""

import shutil
import subprocess
import tarfile

import pytest
from stand_ins import LAUNCH


def bash(script, *arguments):
    return subprocess.run(["bash", script, *arguments], text=True, capture_output=True, timeout=60)


@pytest.fixture
def project(tmp_path):
    """A repository of pack.sh, a link to it, a link to nothing and what git ignores."""
    place = tmp_path / "project"
    (place / "launch/machine").mkdir(parents=True)
    shutil.copy(LAUNCH / "machine/pack.sh", place / "launch/machine")
    (place / ".gitignore").write_text("ignored\n")
    (place / "ignored").touch()
    (place / "link").symlink_to("launch/machine/pack.sh")
    (place / "lost").symlink_to("nowhere")
    subprocess.run(["git", "init", "--quiet", place], check=True)
    return place


def test_what_is_packed_and_what_is_left_out_is_said(project, tmp_path):
    done = bash(project / "launch/machine/pack.sh", str(tmp_path / "code.tar.gz"))
    assert done.returncode == 0
    with tarfile.open(tmp_path / "code.tar.gz") as archive:
        assert sorted(archive.getnames()) == [".gitignore", "launch/machine/pack.sh", "link"]
    assert done.stderr == "pack.sh: lost is left out: a link to what is not there\n"


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("pack.sh", [], "usage: pack.sh ARCHIVE"),
        ("pack.sh", ["/no/such/folder/code.tar.gz"], "there is no such folder"),
        ("job.sh", [], "usage: job.sh HOME"),
        ("start.sh", [], "usage: start.sh"),
        ("start.sh", ["--workers=2"], "usage: start.sh"),
    ],
)
def test_too_little_is_one_line(script, arguments, said):
    done = bash(LAUNCH / "machine" / script, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
