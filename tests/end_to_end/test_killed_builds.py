"""`skinflow data build`, killed without warning at random moments, ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

KILLS = max(2, int(os.environ.get("SKINFLOW_CHAOS", "0")) // 5)


def command(test_data, out):
    """PAD-UFES-20 in three parts: a part is as many cases as fill a shard."""
    return [
        *(sys.executable, "-m", "skinflow_jax", "data", "build", "--config=debug_sft"),
        "--config.data.source=pad_ufes_20",
        "--config.data.options={}",
        f"--config.data.data_root={test_data / 'data' / 'pad_ufes_20'}",
        "--config.data.max_pixels=1003520",
        f"--out={out}",
    ]


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_a_build_that_was_killed_ends_as_one_that_was_left_alone(test_data, tmp_path):
    began = time.monotonic()
    subprocess.run(command(test_data, tmp_path / "whole"), check=True, capture_output=True)
    whole, lasted = files(tmp_path / "whole"), time.monotonic() - began
    assert sum(name.endswith(".array_record") for name in whole) == 3
    drawn, killed = random.Random(0), 0
    for number in range(KILLS):
        out = tmp_path / f"killed-{number}"
        # Of equal parts of the time one each, so that few kills too meet different work.
        moment = lasted * (number + drawn.random()) / KILLS
        process = subprocess.Popen(command(test_data, out), stdout=subprocess.DEVNULL)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        again = subprocess.run(command(test_data, out), capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert files(out) == whole, f"killed after {moment:.1f} of {lasted:.1f} s"
        assert not list(out.rglob(".*")), "a half-built folder is left"
    assert killed >= KILLS // 2, "too few were killed in time"
