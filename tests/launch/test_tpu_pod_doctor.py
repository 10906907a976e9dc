"""tpu_pod.sh doctor: what is wrong with each worker, and what is not alike on all."""

import importlib.util
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from pod_stand_in import ROOT, Pod, script

spec = importlib.util.spec_from_file_location("doctor", ROOT / "launch/doctor.py")
doctor = importlib.util.module_from_spec(spec)
spec.loader.exec_module(doctor)


def report(*same, problems=()):
    lines = [f"same\t{what}\t{value}" for what, value in same]
    return {"out": "\n".join([*lines, *(f"problem\t{problem}" for problem in problems)]) + "\n"}


def of(pod, *reports):
    """Let worker i answer with report i."""
    nothing = {"out": ""}
    each = {f"--worker={worker} ": [said, nothing] for worker, said in enumerate(reports)}
    pod.answers({**pod.there(len(reports)), **each})


ALIKE = (("jax", "0.10.2"), ("code", "abc"))


@pytest.fixture
def pod(tmp_path):
    return Pod(tmp_path)


def test_workers_that_are_well_and_alike(pod):
    of(pod, report(*ALIKE), report(*ALIKE))
    pod.run("doctor", type="v5p-16")
    pod.succeeds()
    assert pod.out == "jax: 0.10.2\ncode: abc\n"
    assert "2 worker(s) of derm are well and alike" in pod.err


def test_what_differs_is_said_with_the_workers_that_have_it(pod):
    other = (("jax", "0.10.1"), ("code", "abc"))
    of(pod, report(*ALIKE), report(*other), report(*ALIKE), report(*ALIKE))
    pod.run("doctor", type="v6e-16")
    pod.fails(1, "1 problem(s) on derm")
    assert pod.out == "jax differs: 0.10.2 on worker 0,2,3; 0.10.1 on worker 1\n"


def test_every_worker_says_its_own_and_one_may_not_answer(pod):
    silent = {
        "err": "ssh: connect to host 10.0.0.2 port 22: timed out\n"
        "ERROR: (gcloud.compute.tpus.tpu-vm.ssh) [/usr/bin/ssh] exited with return code [255].\n",
        "code": 255,
    }
    of(pod, report(*ALIKE, problems=["the TPU is held by process 7 x"]), silent)
    pod.run("doctor", type="v5p-16")
    pod.fails(1, "2 problem(s)")
    assert "worker 0: the TPU is held by process 7 x\n" in pod.out
    assert "worker 1: does not answer: ssh: connect" in pod.out


def test_the_script_itself_runs_on_a_machine(tmp_path):
    pod = Pod(tmp_path, machines=2)
    pod.answers(pod.there(2))
    root = tmp_path / "missing"
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = listener.getsockname()[1]
        stale = {"MEGASCALE_COORDINATOR_ADDRESS": "10.9.9.9", "SLURM_JOB_ID": "7"}
        pod.run("doctor", f"--port={port}", f"--root={root}", type="v5p-16", **stale)
    assert "is not reached" not in pod.out
    pod.fails(1, "problem(s) on derm")
    for worker in range(2):
        assert f"worker {worker}: port {port} is in use" in pod.out
        assert f"worker {worker}: MEGASCALE_COORDINATOR_ADDRESS is set" in pod.out
        assert f"worker {worker}: SLURM_JOB_ID is set" in pod.out
        assert f"worker {worker}: 0 chips in /dev, 4 expected" in pod.out
        assert f"worker {worker}: {root} cannot be written to: " in pod.out


def test_a_port_that_a_firewall_shuts_is_seen_from_the_others(pod):
    shut = report(problems=["worker 0 is not reached on port 8476: timed out"])
    of(pod, report(*ALIKE), report(*ALIKE))
    table = pod.there(2) | {
        "--worker=0 ": [report(*ALIKE), {"out": ""}],
        "--worker=1 ": [report(*ALIKE), shut],
    }
    pod.answers(table)
    pod.run("doctor", type="v5p-16")
    pod.fails(1, "1 problem(s)")
    assert pod.out == "worker 1: worker 0 is not reached on port 8476: timed out\n"


def test_the_others_reach_worker_0_when_it_listens():
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    with ThreadPoolExecutor() as pool:
        peers = [pool.submit(doctor.reach, "127.0.0.1", port) for _ in range(2)]
        pool.submit(doctor.listen, port, 2).result(timeout=60)
        assert [peer.result() for peer in peers] == [None, None]


def test_each_worker_takes_its_part_in_trying_the_port(tmp_path):
    pod = Pod(tmp_path, machines=2)
    pod.answers(pod.there(2))
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    pod.run("doctor", f"--port={port}", type="v5p-16", DOCTOR_WAIT="20")
    # No chips here, and nothing is said of the port.
    assert f"port {port}" not in pod.out
    assert len(pod.calls("how=--reach=127.0.0.1; [ $WORKER != 0 ] || how=--listen=1;")) == 2


def test_a_worker_0_that_cannot_be_reached_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "WAIT", 0.1)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert "refused" in doctor.reach("127.0.0.1", bound.getsockname()[1])


def test_a_root_that_can_be_written_is_left_as_it_was(tmp_path, monkeypatch):
    Pod(tmp_path)
    sudo = tmp_path / "machine_bin/sudo"
    sudo.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
    root = tmp_path / "root"
    root.mkdir()
    assert doctor.unwritable(str(root), "someone") is None
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("root", ["{}", "gs://b/r"])
def test_a_machine_without_sudo_systemctl_and_gcloud_is_looked_at(tmp_path, root):
    for name in ("tee", "rm"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    flags = ["--port=8476", f"--root={root.format(tmp_path)}"]
    done = subprocess.run(
        [sys.executable, ROOT / "launch/doctor.py", *flags],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ("gs://b/r cannot be written to: gcloud: " in done.stdout) == (root == "gs://b/r")
    assert f"{tmp_path} cannot be written to" not in done.stdout


@pytest.mark.parametrize("port", ["99999", "0", "x"])
@pytest.mark.parametrize("how", [[], ["--listen=1"], ["--reach=127.0.0.1"]])
def test_a_port_that_cannot_be_is_one_line(port, how, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["doctor.py", f"--port={port}", *how])
    with pytest.raises(SystemExit) as ended:
        doctor.main()
    assert ended.value.code == 2
    assert f"'{port}' is no port from 1 to 65535" in capsys.readouterr().err.splitlines()[-1]


def test_a_bucket_is_tried_with_gcloud(tmp_path, monkeypatch):
    Pod(tmp_path)
    sudo = tmp_path / "machine_bin/sudo"
    sudo.write_text('#!/bin/sh\necho "$@" >> "$STAND_IN/sudo"\necho denied >&2\nexit 1\n')
    monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    assert doctor.unwritable("gs://b/r/", "someone") == "denied"
    assert (
        (tmp_path / "sudo")
        .read_text()
        .startswith("-u someone gcloud storage cp - gs://b/r/.doctor-")
    )


def test_a_device_that_is_held_names_its_holder(tmp_path):
    device = tmp_path / "0"
    with device.open("w"):
        holders = list(doctor.holders([device]))
    assert [holder.split()[0] for holder in holders] == [str(os.getpid())]
    assert list(doctor.holders([device])) == []


LEFT = [
    "/home/u/skinflow/venv/bin/python -m skinflow_jax demo",
    "python3 -u /home/u/skinflow/venv/bin/skinflow ablation --configs=x",
    "skinflow data build",
    "skinflow train --config=x",
    "bash launch/stages.sh --root=gs://b",
    "/bin/bash /home/u/skinflow/code/launch/stages.sh --root=gs://b",
]
OTHERS = [
    "tail -n 100 -F skinflow/job.log",
    "/home/u/skinflow/bin/uv pip install skinflow",
    "vim launch/stages.sh",
    "python3 - --port=8476",
]


def test_every_command_of_skinflow_is_known_and_no_other(tmp_path):
    assert [line for line in LEFT if not doctor.LEFT.match(line)] == []
    assert [line for line in OTHERS if doctor.LEFT.match(line)] == []


def test_a_process_that_is_left_is_found_however_long_its_path(tmp_path):
    program = tmp_path / ("a-long-name" * 9) / "skinflow"
    script(program, "import time\nprint(flush=True)\ntime.sleep(600)\n")
    words = [str(program.parent / "python"), str(program), "train"]
    with subprocess.Popen(words, executable=sys.executable, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        left = list(doctor.left_over())
        process.kill()
    assert f"{process.pid} {' '.join(words)[:60]}" in left


def test_versions_are_read_from_the_environment(tmp_path):
    assert dict(doctor.packages(tmp_path)) == {"python": "not set up"}
    site = tmp_path / "venv/lib/python3.12/site-packages"
    for name in ("jax-0.10.2", "jaxlib-0.10.2", "libtpu-0.0.43.2"):
        (site / f"{name}.dist-info").mkdir(parents=True)
    found = dict(doctor.packages(tmp_path))
    assert found["python"] == "python3.12"
    assert (found["jax"], found["jaxlib"], found["libtpu"]) == ("0.10.2", "0.10.2", "0.0.43.2")
    assert found["flax"] == "none"


def test_variables_of_a_tpu_machine_that_belong_there_are_no_problem(monkeypatch):
    for name in list(os.environ):
        if doctor.STALE.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TPU_NAME", "derm")
    monkeypatch.setenv("MY_JAX", "x")
    assert list(doctor.stale_variables()) == []
