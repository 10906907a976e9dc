"""Processes that cannot be connected, or not so: each says why, in one line, once."""

import socket
import subprocess
import sys

import pytest
from pods import HERE, Pod, environment

pytestmark = pytest.mark.slow


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started(process, port, workdir, **environ):
    """One of two processes of a training run, which wait 5 seconds for each other."""
    command = [sys.executable, str(HERE / "small_skinflow.py"), "train", "--config=debug_sft"]
    command += [f"--workdir={workdir}", f"--coordinator=127.0.0.1:{port}", "--processes=2"]
    return subprocess.Popen(
        [*command, f"--process={process}", "--start-timeout=5"],
        env=environment(JAX_PLATFORMS="cpu", **environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_of(process, code):
    """What a process that ends with `code` says: one line."""
    told = process.communicate(timeout=120)[1]
    assert process.returncode == code, told
    (line,) = [line for line in told.splitlines() if line.startswith("skinflow: ")]
    assert "Traceback" not in told and "Check failure" not in told, told
    return line


def test_one_that_does_not_come_is_waited_for_so_long_and_no_longer(tmp_path):
    port = free_port()
    line = line_of(started(0, port, tmp_path / "run", MEGASCALE_SLICE_ID="0"), code=42)
    assert f"not all processes answered within 5 s, found by --coordinator=127.0.0.1:{port}" in line
    assert "unset MEGASCALE_SLICE_ID" in line
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_named_by_the_process_that_needs_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        both = [started(i, port, tmp_path / "run") for i in (0, 1)]
        assert f"port {port} of this machine is in use" in line_of(both[0], code=2)
        assert f"127.0.0.1:{port}" in line_of(both[1], code=42)


def test_a_mesh_over_two_processes_is_refused_with_the_nearest_that_works(tmp_path):
    pod, workdir = Pod(2, 2, tmp_path), tmp_path / "run"
    done = pod(
        *("train", "--config=debug_sft", f"--workdir={workdir}", "--config.mesh.tensor=4"), code=2
    )
    for process in (0, 1):
        (line,) = [x for x in done.stderr.splitlines() if x.startswith(f"[{process}] skinflow: ")]
        assert "mesh.tensor=4 would reach over several processes" in line
        assert "the nearest that works: data=2 fsdp=1 tensor=2" in line
    assert not workdir.exists()
