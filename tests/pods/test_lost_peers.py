"""Two "hosts" in network namespaces: one dies, or its link goes, and the other says so and leaves.

Started again both go on, and end with the bits of the run that nothing disturbed. `make pods` tries
it at random moments of a run; `make test` once, by kill -9, without namespaces.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from pods import HERE, WARM_UP, environment, lines

from skinflow_jax.checkpoints.run_state import load_model

pytestmark = pytest.mark.slow

WHOLE = bool(os.environ.get("SKINFLOW_PODS"))
SEED = int(os.environ.get("SKINFLOW_PODS_SEED", "0"))
CONFIG = WARM_UP | {"loop": {"steps": 12, "checkpoint_every": 2}}
# As a run says that both have to leave: 20 s without a sign of life, and what it takes to leave.
WITHIN = 120


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    """Prefixes of commands that run on two hosts, and the address of the first."""
    if not WHOLE or shutil.which("ip") is None or os.geteuid():
        yield ([], []), "127.0.0.1"
        return
    names = [f"skinflow-{os.getpid()}-{i}" for i in range(2)]
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "link",
            "add",
            "sf0",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "sf1",
            "netns",
            names[1],
        )
        for i, name in enumerate(names):
            ip("-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", f"sf{i}")
            ip("-n", name, "link", "set", f"sf{i}", "up")
        yield tuple(["ip", "netns", "exec", name] for name in names), "10.77.0.1"
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def started(hosts, folder, workdir):
    """The two processes of a run in `workdir`."""
    prefixes, address = hosts
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(HERE / "small_skinflow.py"), "train", "--resume"]
    command += [f"--config={folder / 'config.json'}", f"--workdir={workdir}", "--processes=2"]
    command += [f"--coordinator={address}:{port}"]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=1"
    return [
        subprocess.Popen(
            [*prefix, *command, f"--process={i}"],
            env=environment(XLA_FLAGS=flags, JAX_PLATFORMS="cpu"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for i, prefix in enumerate(prefixes)
    ]


@contextlib.contextmanager
def ended(processes):
    """Whatever happens within, no process is left."""
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_to_its_end(hosts, folder, workdir):
    processes = started(hosts, folder, workdir)
    with ended(processes):
        told = [process.communicate(timeout=900)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], told


def wait_for(condition, processes, seconds=600):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until and all(p.poll() is None for p in processes)
        time.sleep(0.05)


def arrays(workdir):
    return jax.tree.leaves(jax.tree.map(np.asarray, load_model(workdir / "checkpoints")))


def metric_lines(workdir):
    kept = ("step", "loss", "grad_norm", "learning_rate")
    return [{k: line[k] for k in kept} for line in lines(workdir / "metrics.jsonl")]


def link_down(hosts):
    ip("-n", hosts[0][1][-1], "link", "set", "sf1", "down")


def link_up(hosts):
    ip("-n", hosts[0][1][-1], "link", "set", "sf1", "up")


KINDS = ["kill 0", "kill 1", "link", "term 0", "term 1"] if WHOLE else ["kill 1"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_host_ends_the_other_and_both_go_on(hosts, tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    if kind == "link" and hosts[1] == "127.0.0.1":
        pytest.skip("a link of its own needs root and iproute2")
    workdir, alone = tmp_path / "run", tmp_path / "alone"
    run_to_its_end(hosts, tmp_path, alone)
    choose = random.Random(f"{SEED} {kind}")
    processes = started(hosts, tmp_path, workdir)
    with ended(processes):
        metrics = workdir / "metrics.jsonl"
        after = choose.randrange(1, 8)
        wait_for(
            lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= after, processes
        )
        time.sleep(choose.random())
        began = time.monotonic()
        what, _, number = kind.partition(" ")
        if what == "link":
            link_down(hosts)
        else:
            number_of = signal.SIGKILL if what == "kill" else signal.SIGTERM
            os.killpg(processes[int(number)].pid, number_of)
        lost = int(number) if what == "kill" else None
        for i, process in enumerate(processes):
            told = process.communicate(timeout=WITHIN)[1]
            print(i, process.returncode, f"{time.monotonic() - began:.0f} s", told)
            if i != lost:
                ours = [line for line in told.splitlines() if line.startswith("skinflow: ")]
                assert process.returncode == 42, told
                assert len(ours) == 1, told
        assert time.monotonic() - began < WITHIN
        if what == "link":
            link_up(hosts)
    run_to_its_end(hosts, tmp_path, workdir)
    assert metric_lines(workdir) == metric_lines(alone)
    for found, expected in zip(arrays(workdir), arrays(alone), strict=True):
        np.testing.assert_array_equal(found, expected)
