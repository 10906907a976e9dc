"""tpu_pod.sh logs: what the workers write, of which any may be the one that prints."""

import shutil
import signal
import subprocess

import pytest
from pod_stand_in import SCRIPT, Pod

PRINTS = "process 0, which prints, is on host-1"


@pytest.fixture
def pod(tmp_path):
    made = Pod(tmp_path, machines=2)
    made.copy_code()
    made.answers(made.there(2))
    (made.machine(0) / "skinflow/job.log").write_text(f"{PRINTS}\n")
    (made.machine(1) / "skinflow/job.log").write_text(f"{PRINTS}\nstep 1\nstep 2\n")
    return made


def test_all_workers_are_shown_by_their_numbers(pod):
    pod.run("logs", type="v5p-16")
    pod.succeeds()
    assert pod.out == f"[0] {PRINTS}\n[1] {PRINTS}\n[1] step 1\n[1] step 2\n"
    pod.run("logs", "--lines=1", type="v5p-16")
    assert pod.out == f"[0] {PRINTS}\n[1] step 2\n"


def test_one_worker_alone_is_shown_as_it_writes(pod):
    pod.run("logs", "--worker=1", "--lines=1", type="v5p-16")
    pod.succeeds()
    assert pod.out == "step 2\n"


def test_the_others_are_shown_where_one_does_not_answer(pod):
    shutil.rmtree(pod.machine(0))
    pod.run("logs", type="v5p-16")
    pod.fails(1, "reading the logs failed on 1 of 2 workers")
    assert "worker 0 does not answer" in pod.err
    assert "[1] step 2\n" in pod.out


@pytest.mark.parametrize("ends_by", [signal.SIGINT, signal.SIGTERM])
def test_all_are_followed_until_a_signal_and_nothing_is_left(pod, ends_by):
    where = ["--name=derm", "--zone=us-east5-b", "--project=p", "--type=v5p-16"]
    with subprocess.Popen(
        ["bash", SCRIPT, "logs", *where, "--follow", "--lines=1"],
        env=pod.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert {process.stdout.readline() for _ in range(2)} == {f"[0] {PRINTS}\n", "[1] step 2\n"}
        with (pod.machine(0) / "skinflow/job.log").open("a") as log:
            log.write("later\n")
        assert process.stdout.readline() == "[0] later\n"
        process.send_signal(ends_by)
        # All that wrote here has ended: there is nothing more to read.
        assert process.stdout.read() == ""
    assert process.returncode == 128 + ends_by


def test_a_slice_with_more_workers_than_a_laptop_follows(pod):
    pod.answers(pod.there(32))
    pod.run("logs", "--follow", type="v6e-128")
    pod.fails(2, "at most 16 workers", "--worker=I")
