"""tpu_pod.sh run with real processes: the workers of the slice are folders here, but compute.

What they run is COMMAND; the slice gives each worker its own flags, by which JAX starts.
"""

import json
import os
import runpy
import socket
import sys

import pytest
from pod_stand_in import ROOT, Pod, script

# A computation of all processes, by the flags that skinflow's commands take too.
COMMAND = """
import sys, jax, jax.numpy as jnp
from jax.experimental import multihost_utils
given = dict(word[2:].split("=") for word in sys.argv[1:])
jax.distributed.initialize(
    given["coordinator"], int(given["processes"]), int(given["process"]),
    cluster_detection_method="deactivate",
)
gathered = multihost_utils.process_allgather(jnp.array([jax.process_index() + 1]))
print("gathered", gathered.ravel().tolist(), flush=True)
"""
PODS = ROOT / "tests/pods"
OF_PODS = runpy.run_path(str(PODS / "pods.py"))
CONFIG = OF_PODS["SMALL"] | {"algorithm": "sft", "loop": {"steps": 1}}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def pod(tmp_path):
    made = Pod(tmp_path, machines=2)
    made.answers(made.group(2))
    made.copy_code()
    yield made
    made.stop()


def finish(pod, seconds):
    """Wait until the job has finished on both workers; their logs."""
    logs = [pod.machine(worker) / "skinflow/job.log" for worker in range(2)]
    codes = [log.parent / "ended" for log in logs]
    pod.until(lambda: all(code.exists() and code.read_text() for code in codes), seconds)
    texts = [log.read_text() for log in logs]
    assert [code.read_text() for code in codes] == ["0\n", "0\n"], texts
    pod.run("status", type="tpu7x-16")
    pod.succeeds()
    assert pod.out.count(": finished") == 2
    return texts


def test_the_workers_find_each_other_and_compute_together(pod, tmp_path):
    program = tmp_path / "together.py"
    program.write_text(COMMAND)
    command = ["env", "JAX_PLATFORMS=cpu", "python", str(program)]
    pod.run("run", "--exec", f"--port={free_port()}", "--", *command, type="tpu7x-16")
    pod.succeeds()
    for text in finish(pod, 120):
        assert "gathered [1, 2]\n" in text


@pytest.mark.slow
def test_a_run_of_skinflow_on_two_workers(pod, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    # The tests' own compiler flags: a unit of systemd has no variables of whoever started it.
    path, flags = f"{ROOT}:{ROOT / 'tests'}", os.environ["XLA_FLAGS"]
    environment = f"JAX_PLATFORMS=cpu PYTHONPATH={path} XLA_FLAGS='{flags}'"
    for name, value in OF_PODS["compiled_once"](tmp_path).items():
        environment += f" {name}={value}"
    program = PODS / "small_skinflow.py"
    call = f'#!/bin/sh\nexec env {environment} {sys.executable} {program} "$@"\n'
    for worker in range(2):
        script(pod.machine(worker) / "skinflow/venv/bin/skinflow", call)
    workdir = tmp_path / "run"
    command = ["skinflow", "train", f"--config={config}", f"--workdir={workdir}", "--resume"]
    pod.run("run", "--exec", f"--port={free_port()}", "--", *command, type="tpu7x-16")
    pod.succeeds()
    finish(pod, 400)
    assert (workdir / "checkpoints/1").exists()
