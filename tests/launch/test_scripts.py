"""What all launch scripts have in common."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from stand_ins import LAUNCH, ROOT

SCRIPTS = sorted(
    path for pattern in ("*.sh", "*.sbatch", "gke/*.sh") for path in LAUNCH.glob(pattern)
)
NAMES = [str(path.relative_to(LAUNCH)) for path in SCRIPTS]


@pytest.mark.parametrize("path", SCRIPTS, ids=NAMES)
def test_scripts_stop_at_the_first_error_and_may_be_run(path):
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert path.suffix == ".sbatch" or os.access(path, os.X_OK)


@pytest.mark.parametrize("path", SCRIPTS, ids=NAMES)
def test_help_says_how_it_is_called(path):
    done = subprocess.run(["bash", path, "--help"], text=True, capture_output=True, timeout=30)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ")
    assert "--dry-run" in done.stdout
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 110


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("launch/doctor.py", ["--por=80"]),
        ("launch/debug_gpu.py", ["--plat=no-such"]),
        ("launch/gke/render.py", ["--type=v6e-16", "--image=i", "--namesp=prod"]),
        ("benchmarks/gpu_check.py", ["--onl=no-such"]),
    ],
)
def test_an_abbreviated_flag_is_unknown(script, flags):
    command = [sys.executable, ROOT / script, *flags]
    done = subprocess.run(command, text=True, capture_output=True, timeout=60)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert flags[-1] in said or "required: --port" in said


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    flags = ["--external-sources", "--check-sourced", "--source-path=SCRIPTDIR"]
    scripts = [*SCRIPTS, *(ROOT / ".ci").iterdir()]
    done = subprocess.run(["shellcheck", *flags, *scripts], text=True, capture_output=True)
    assert done.stdout == ""


def lines_of_the_table():
    """Each line of the README that starts one of our scripts, after its variables."""
    text = (LAUNCH / "README.md").read_text()
    [variables] = re.findall(r"```\n(BUCKET=.*?)```", text, re.DOTALL)
    for line in re.findall(r"^\|.*\| `(launch/[^`]*)` \|$", text, re.MULTILINE):
        script, rest = line.split(" ", 1)
        if (ROOT / script).exists():
            yield script, f"{variables}\n{script} --dry-run {rest}"


@pytest.mark.parametrize(("script", "line"), lines_of_the_table())
def test_the_lines_of_the_table_are_lines_that_the_scripts_take(script, line):
    if script == "launch/tpu_pod.sh":
        line = line.replace("--dry-run resume", "resume --dry-run")
    done = subprocess.run(
        ["bash", "-euc", line],
        text=True,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "skinflow" in done.stdout


def test_the_table_names_every_script():
    table = (LAUNCH / "README.md").read_text()
    missing = [name for name in NAMES if f"launch/{name}" not in table]
    assert missing == []
