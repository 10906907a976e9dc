"""Two "hosts" in network namespaces: one dies, or its link goes, or it gets SIGTERM; both leave.

Started again both go on, as often as it happens, and end with the bits of the run that nothing
disturbed. `make pods` tries many random moments, in each phase of a warm-up and of a GRPO stage;
`make test` one of a warm-up, after its first checkpoint and without namespaces.
"""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from phases import begun, length
from pods import HERE, STAGE, WARM_UP, compiled_once, environment, lines

from skinflow_jax.checkpoints.run_state import load_model

pytestmark = pytest.mark.slow

WHOLE = bool(os.environ.get("SKINFLOW_PODS"))
SEED = int(os.environ.get("SKINFLOW_PODS_SEED", "0"))
# As a run says that both have to leave: 20 s without a sign of life, and what it takes to leave.
WITHIN = 120
ONE_DEVICE = "--xla_force_host_platform_device_count=1"
EVERY_2 = {
    "steps": 32 if WHOLE else 6,
    "checkpoint_every": 2,
    "evaluate_every": 2,
    "rollouts_every": 1,
}
CONFIGS = {
    "sft": WARM_UP | {"loop": EVERY_2 | {"steps": 16 if WHOLE else 6, "evaluate_every": 0}},
    "grpo": STAGE | {"loop": EVERY_2, "rl": STAGE["rl"] | {"max_refills": 1}},
}
# What happens to which process in which phase.
TERMS = [
    *itertools.product(["term"], [0, 1], ["sampling", "update", "evaluation", "saving"]),
    ("term", 0, "sampling"),
    ("term", 1, "update"),
]
LOSSES = [("kill", 0, "update"), ("kill", 1, "sampling"), ("link", 1, "evaluation")]
MOMENTS = {
    "sft": [("kill", 1, "update"), ("link", 1, "saving"), ("kill", 0, "saving"), *TERMS[1:2]],
    "grpo": [*LOSSES, *TERMS],
}
# Phases that pass before the moment.
PASSED = 0 if WHOLE else EVERY_2["checkpoint_every"]
if not WHOLE:
    MOMENTS = {"sft": [("kill", 1, "update")]}


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def hosts():
    """Prefixes of commands that run on two hosts, and the address of the first."""
    if not WHOLE or shutil.which("ip") is None or os.geteuid():
        yield ([], []), "127.0.0.1"
        return
    names = [f"skinflow-{os.getpid()}-{i}" for i in range(2)]
    etc = [Path("/etc/netns") / name for name in names]
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(*f"link add sf0 netns {names[0]} type veth peer sf1 netns {names[1]}".split())
        for i, name in enumerate(names):
            ip("-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", f"sf{i}")
            ip("-n", name, "link", "set", f"sf{i}", "up")
            # Each has the other look where its own name leads to.
            etc[i].mkdir(parents=True)
            (etc[i] / "hosts").write_text(
                f"127.0.0.1 localhost\n10.77.0.{i + 1} {socket.gethostname()}\n"
            )
        yield tuple(["ip", "netns", "exec", name] for name in names), "10.77.0.1"
    finally:
        for name, folder in zip(names, etc, strict=True):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)


class Run:
    """A run of two processes, one on each host, that can be started again."""

    def __init__(self, hosts, folder, algorithm):
        self.workdir, self.phases = folder / "run", folder / "phases"
        self.phases.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(CONFIGS[algorithm]))
        self._config, (self._prefixes, self._address) = folder / "config.json", hosts
        self._environ = environment(
            XLA_FLAGS=f"{os.environ.get('XLA_FLAGS', '')} {ONE_DEVICE}",
            JAX_PLATFORMS="cpu",
            SKINFLOW_TEST_PHASES=str(self.phases),
            **compiled_once(folder.parent),
        )

    @contextlib.contextmanager
    def started(self):
        """Its two processes; whatever happens within, none is left."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, str(HERE / "small_skinflow.py"), "train", "--resume"]
        command += [f"--config={self._config}", f"--workdir={self.workdir}", "--processes=2"]
        command += [f"--coordinator={self._address}:{port}"]
        processes = [
            subprocess.Popen(
                [*prefix, *command, f"--process={i}"],
                env=self._environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            for i, prefix in enumerate(self._prefixes)
        ]
        try:
            yield processes
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def to_its_end(self):
        with self.started() as processes:
            told = [process.communicate(timeout=900)[1] for process in processes]
            assert [process.returncode for process in processes] == [0, 0], told
        return self

    def disturb(self, moment, choose, seconds):
        """Start it, and end it in one of two next phases of a kind; how long `seconds` says."""
        what, number, phase = moment
        with self.started() as processes:
            wanted = begun(self.phases, number, phase) + PASSED + choose.randint(1, 2)
            until = time.monotonic() + 600
            while begun(self.phases, number, phase) < wanted:
                assert time.monotonic() < until and all(p.poll() is None for p in processes)
                time.sleep(0.005)
            time.sleep(choose.random() * seconds)
            began = time.monotonic()
            if what == "link":
                link(self._prefixes, "down")
            else:
                signal_sent = signal.SIGKILL if what == "kill" else signal.SIGTERM
                os.killpg(processes[number].pid, signal_sent)
            for i, process in enumerate(processes):
                told = process.communicate(timeout=WITHIN)[1]
                took = time.monotonic() - began
                print(what, number, phase, i, process.returncode, f"{took:.1f} s", told)
                ours = [line for line in told.splitlines() if line.startswith("skinflow: ")]
                if (what, number) != ("kill", i):
                    assert process.returncode == 42, told
                    assert len(ours) == 1, told
            assert took < WITHIN
        if what == "link":
            link(self._prefixes, "up")

    def arrays(self):
        model = load_model(self.workdir / "checkpoints")
        return jax.tree.leaves(jax.tree.map(np.asarray, model))

    def metrics(self):
        kept = ("step", "loss", "grad_norm", "learning_rate", "reward", "eval/Top-1")
        return [{k: line.get(k) for k in kept} for line in lines(self.workdir / "metrics.jsonl")]

    def rollouts(self):
        path = self.workdir / "rollouts.jsonl"
        return lines(path) if path.exists() else []


def link(prefixes, state):
    ip("-n", prefixes[1][-1], "link", "set", "sf1", state)


@pytest.mark.parametrize("algorithm", MOMENTS)
def test_what_happens_to_one_ends_both_and_both_go_on(hosts, tmp_path, algorithm):
    alone = Run(hosts, tmp_path / "alone", algorithm).to_its_end()
    run = Run(hosts, tmp_path / "disturbed", algorithm)
    choose = random.Random(f"{SEED} {algorithm}")
    for moment in choose.sample(MOMENTS[algorithm], len(MOMENTS[algorithm])):
        if moment[0] != "link" or hosts[0][1]:
            run.disturb(moment, choose, length(alone.phases, *moment[1:]))
    run.to_its_end()
    assert run.metrics() == alone.metrics()
    assert run.rollouts() == alone.rollouts()
    for found, expected in zip(run.arrays(), alone.arrays(), strict=True):
        np.testing.assert_array_equal(found, expected)
