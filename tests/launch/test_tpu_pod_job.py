"""tpu_pod.sh setup, run, logs, status and resume: the job lives on the machines."""

import os
import shutil
import signal
import sys

import pytest
from pod_stand_in import ACTIVE, ROOT, Pod, script

# Notes its arguments and each start; ends with the codes of `codes`, one a start, then waits for a
# signal if there are no more.
WORKER = f"""#!{sys.executable} -S
import os, pathlib, signal, sys, time
home = pathlib.Path.home()
def asked(*_):
    with (home / "asked").open("a") as lines:
        print("SIGTERM", file=lines)
    time.sleep(0.5)
    sys.exit(42)
signal.signal(signal.SIGTERM, asked)
starts = home / "starts"
count = len(starts.read_text().splitlines()) if starts.exists() else 0
with starts.open("a") as lines:
    print(*sys.argv[1:], file=lines)
(home / ("pid." + str(count))).write_text(str(os.getpid()))
print("start", count, flush=True)
codes = (home / "codes").read_text().split()
if count < len(codes):
    sys.exit(int(codes[count]))
time.sleep(600)
"""


GONE = {"out": "SUSPENDED\t\n"}
BROKEN = {"err": "ERROR: (gcloud.x) Connection reset\n"}


def with_work(pod):
    """The pod, with WORKER on its machines as the command `work`."""
    for worker in range(2):
        script(pod.machine(worker) / "skinflow/venv/bin/work", WORKER)
    return pod


@pytest.fixture
def pod(tmp_path):
    made = with_work(Pod(tmp_path, machines=2))
    made.copy_code()
    made.answers(made.there(2))
    codes(made, "")
    yield made
    made.stop()


def codes(pod, *each):
    """The exit codes of each worker's starts; those of the last are all others'."""
    for worker in range(2):
        (pod.machine(worker) / "codes").write_text(each[min(worker, len(each) - 1)])


def starts(pod, worker):
    path = pod.machine(worker) / "starts"
    return path.read_text().splitlines() if path.exists() else []


def ended(pod, worker):
    path = pod.machine(worker) / "skinflow/ended"
    return path.read_text().strip() if path.exists() else None


def state(pod, worker):
    path = pod.machine(worker) / "systemd/state"
    return path.read_text() if path.exists() else None


def start(pod, *words):
    pod.run("run", "--exec", *words, "--", "work", "a b", "--x='y'", type="v5p-16")


def test_the_job_runs_on_all_workers_with_its_words_and_the_cluster(pod):
    codes(pod, "0")
    start(pod)
    pod.succeeds()
    pod.until(lambda: ended(pod, 0) == ended(pod, 1) == "0")
    for worker in range(2):
        assert starts(pod, worker) == ["a b --x='y' --cluster=cloud-tpu"]
    pod.run("status", type="v5p-16")
    pod.succeeds()
    assert "worker 0 (127.0.0.1): finished · start 0\n" in pod.out
    assert "worker 1 (127.0.0.1): finished · start 0\n" in pod.out
    pod.run("logs", "--worker=1", "--lines=5", type="v5p-16")
    assert pod.out == "start 0\n"


@pytest.mark.parametrize("code", ["1", "126"])
def test_what_may_pass_starts_it_again_and_no_other_code_does(pod, code):
    # 134 is JAX's abort, 137 the kernel's kill for memory.
    codes(pod, f"42 134 137 {code}")
    start(pod)
    pod.until(lambda: ended(pod, 0) == ended(pod, 1) == code)
    assert len(starts(pod, 0)) == len(starts(pod, 1)) == 4
    pod.run("status", type="v5p-16")
    assert pod.code == 1
    assert f"failed {code}" in pod.out


def test_a_job_whose_shell_is_killed_starts_again(pod):
    start(pod, "--worker=0")
    pod.until(lambda: len(starts(pod, 0)) == 1)
    os.kill(int((pod.machine(0) / "systemd/main").read_text()), signal.SIGKILL)
    pod.until(lambda: len(starts(pod, 0)) == 2)
    # What the stand-in's kill of the shell alone leaves, systemd kills.
    os.kill(int((pod.machine(0) / "pid.0").read_text()), signal.SIGKILL)


def test_a_job_that_starts_too_often_has_failed(pod):
    codes(pod, " ".join(["137"] * 20))
    start(pod)
    pod.until(lambda: all(state(pod, worker) == "failed" for worker in range(2)))
    assert ended(pod, 0) is None and len(starts(pod, 0)) == 10
    pod.run("status", type="v5p-16")
    assert pod.code == 1
    assert pod.out.count(": failed: started too often") == 2


def test_a_job_that_runs_is_replaced_only_when_asked_and_by_sigterm(pod):
    start(pod)
    pod.until(lambda: len(starts(pod, 0)) == len(starts(pod, 1)) == 1)
    pod.run("status", type="v5p-16")
    pod.succeeds()
    assert pod.out.count(": running · start 0") == 2
    start(pod)
    pod.fails(2, "a job runs on worker 0", "--replace")
    pod.run("setup", type="v5p-16")
    pod.fails(1, "setting up")
    assert "--replace stops it first" in pod.err
    assert len(starts(pod, 0)) == 1
    start(pod, "--replace")
    pod.succeeds()
    pod.until(lambda: len(starts(pod, 0)) == len(starts(pod, 1)) == 2)
    for worker in range(2):
        # Once, and with the time to save.
        assert (pod.machine(worker) / "asked").read_text() == "SIGTERM\n"
        assert ended(pod, worker) is None


def test_a_reboot_goes_on_with_a_job_unless_it_has_ended(pod):
    codes(pod, "", "1")
    start(pod)
    pod.until(lambda: len(starts(pod, 0)) == 1 and ended(pod, 1) == "1")
    pod.systemctl(0, "stop", "skinflow")
    pod.run("status", type="v5p-16")
    assert "worker 0 (127.0.0.1): stopped" in pod.out
    for worker in range(2):
        pod.systemctl(worker, "start", "skinflow")
    pod.until(lambda: len(starts(pod, 0)) == 2)
    assert len(starts(pod, 1)) == 1


def test_the_runs_of_the_method_go_through_stages(pod):
    flags = ["--root=gs://b/r", "--data=gs://b/d", "--stages=one two"]
    pod.run("run", *flags, "--", "--grace=100", type="v5p-16")
    pod.succeeds()
    home = pod.machine(0) / "skinflow"
    words = ["bash", "launch/stages.sh", "--root=gs://b/r", "--stages=one two"]
    words += ["--records=../records", "--", "--grace=100", "--cluster=cloud-tpu"]
    written = (home / "command").read_text()
    assert [f'"{word}"' in written for word in words] == [True] * 8
    assert 'data="gs://b/d"' in written
    # Longer than the grace: a run that saves is not killed while it holds the TPU.
    assert "TimeoutStopSec=195\n" in (home / "skinflow.service").read_text()


def test_one_worker_alone_needs_no_cluster(pod):
    codes(pod, "0")
    start(pod, "--worker=1")
    pod.succeeds()
    pod.until(lambda: ended(pod, 1) == "0")
    assert starts(pod, 1) == ["a b --x='y' --cluster=none"]
    assert starts(pod, 0) == []
    start(pod, "--worker=2")
    pod.fails(2, "--worker=2", "0 to 1")


def test_a_folder_for_the_runs_must_be_shared(pod):
    pod.run("run", "--root=/mnt/runs", type="v5p-16")
    assert "--root=/mnt/runs must be a file system that all workers share" in pod.err


def test_a_worker_that_does_not_answer_is_named_and_nothing_starts(pod):
    shutil.rmtree(pod.machine(1))
    start(pod)
    pod.fails(1, "failed on 1 of 2 workers")
    assert "worker 1 does not answer: ssh: connect to host" in pod.err
    assert starts(pod, 0) == []
    pod.run("status", type="v5p-16")
    assert pod.code == 1
    assert "worker 1 (127.0.0.1): does not answer: ssh" in pod.out


def test_setup_brings_the_code_as_it_stands_and_a_python(tmp_path):
    pod = Pod(tmp_path, machines=2)
    pod.answers(pod.there(2))
    pod.run("status", type="v5p-16")
    assert pod.out.count(": not set up\n") == 2
    stale = pod.machine(0) / "skinflow/code/skinflow_jax/deleted.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    pod.run("setup", type="v5p-16")
    pod.succeeds()
    for worker in range(2):
        code = pod.machine(worker) / "skinflow/code"
        assert (code / "skinflow_jax/cli.py").read_bytes() == (
            ROOT / "skinflow_jax/cli.py"
        ).read_bytes()
        assert (code / "launch/tpu_pod.sh").exists() and not (code / ".git").exists()
        calls = (pod.machine(worker) / "uv_calls").read_text()
        assert "uv venv --quiet --allow-existing --python 3.12" in calls
        assert f"--editable {code}[tpu]\n" in calls
    assert not stale.exists()


def test_a_project_that_cannot_be_packed_reaches_no_machine(pod):
    script(pod.place / "bin/tar", "#!/bin/sh\necho 'tar: no space left on device' >&2\nexit 1\n")
    pod.run("setup", type="v5p-16")
    pod.fails(1, "the project cannot be packed")
    assert "no space left" in pod.err and not pod.calls(" scp ")


def test_a_setup_that_ended_half_way_is_none(tmp_path):
    pod = Pod(tmp_path, machines=2)
    pod.answers(pod.there(2))
    (pod.machine(1) / "full").touch()
    for _ in range(2):
        pod.run("setup", type="v5p-16")
        pod.fails(1, "setting up failed on 1 of 2 workers")
        assert "worker 1 says: no space left on device" in pod.err
        start(pod)
        pod.fails(2, "worker 1 is not set up")
    (pod.machine(1) / "full").unlink()
    pod.run("setup", type="v5p-16")
    pod.succeeds()
    pod.run("status", type="v5p-16")
    assert pod.out.count(": no job") == 2


def test_a_machine_without_uv_is_given_the_pinned_one(tmp_path):
    pod = Pod(tmp_path, machines=1)
    pod.answers(pod.there(1))
    home = pod.machine(0)
    uv = home / "skinflow/bin/uv"
    uv.rename(home / "uv")
    installer = f'mkdir -p "$UV_UNMANAGED_INSTALL" && cp {home / "uv"} "$UV_UNMANAGED_INSTALL/uv"\n'
    script(home / "metadata/install.sh", installer)
    pod.run("setup", type="v5p-8")
    pod.succeeds()
    assert uv.exists()
    assert "https://astral.sh/uv/0.13.9/install.sh" in (home / "urls").read_text()


def test_resume_makes_the_slice_sets_it_up_and_runs_and_then_leaves_it_alone(tmp_path):
    pod = with_work(Pod(tmp_path, machines=2))
    codes(pod, "42 0")
    pod.answers({**pod.there(2), "queued-resources describe": [GONE, ACTIVE]})
    words = ["resume", "--exec", "--spot", "--watch", "--", "work"]
    pod.run(*words, type="v5p-16")
    pod.succeeds()
    assert pod.calls("queued-resources delete") and pod.calls("queued-resources create", "--spot")
    assert len(starts(pod, 0)) == len(starts(pod, 1)) == 2
    pod.run(*words, type="v5p-16")
    pod.succeeds()
    assert "the job: finished" in pod.err
    assert len(starts(pod, 0)) == 2


def test_a_worker_without_a_job_is_not_finished(pod):
    codes(pod, "0")
    start(pod, "--worker=0")
    pod.until(lambda: ended(pod, 0) == "0")
    pod.run("status", type="v5p-16")
    assert (pod.code, pod.err) == (1, "")
    assert ": finished" in pod.out and ": no job\n" in pod.out


@pytest.mark.parametrize("watch", [[], ["--watch"]])
def test_resume_starts_the_job_after_create_and_setup_alone(pod, watch):
    codes(pod, "0")
    pod.run("status", type="v5p-16")
    assert pod.code == 1 and pod.out.count(": no job\n") == 2
    pod.run("resume", "--exec", *watch, "--", "work", type="v5p-16")
    pod.succeeds()
    pod.until(lambda: ended(pod, 0) == ended(pod, 1) == "0")
    assert len(starts(pod, 0)) == len(starts(pod, 1)) == 1


def test_resume_starts_a_job_after_another_has_ended(pod):
    codes(pod, "0 0")
    start(pod)
    pod.until(lambda: ended(pod, 0) == ended(pod, 1) == "0")
    # As an import of weights on the slice, and then the runs.
    words = ["resume", "--exec", "--watch", "--", "work", "a b --x='y'"]
    pod.run(*words, type="v5p-16")
    pod.succeeds()
    assert len(starts(pod, 0)) == len(starts(pod, 1)) == 2
    pod.run(*words, type="v5p-16")
    pod.succeeds()
    assert "the job: finished" in pod.err and len(starts(pod, 0)) == 2


# Its copies end with the codes of `copy_codes`, one after the other.
GCLOUD = """#!/bin/sh
echo "$@" >> "$HOME/copies"
exit $(sed -n "$(wc -l < "$HOME/copies")p" "$HOME/copy_codes")
"""


# As gcloud's answers SIGTERM between two files.
ENDS_WELL = """#!/bin/bash
trap "exit 0" TERM
touch "$HOME/copying"
while :; do sleep 0.05; done
"""


def test_data_that_could_not_be_brought_is_tried_again_and_never_fails_the_job(pod):
    for worker in range(2):
        home = pod.machine(worker)
        script(home / "skinflow/bin/gcloud", GCLOUD)
        script(home / "skinflow/bin/sleep", "#!/bin/sh\n")
        (home / "copy_codes").write_text("1\n0\n1\n1\n1\n0\n")
    codes(pod, "42 0")
    pod.run("run", "--exec", "--data=gs://b/d", "--", "work", type="v5p-16")
    pod.succeeds()
    pod.until(lambda: ended(pod, 0) == ended(pod, 1) == "0")
    for worker in range(2):
        home = pod.machine(worker)
        copies = (home / "copies").read_text().splitlines()
        assert copies == [f"storage rsync --recursive gs://b/d {home}/skinflow/records"] * 6
        assert len(starts(pod, worker)) == 2
        assert "gs://b/d could not be brought" in (home / "skinflow/job.log").read_text()


def test_a_stop_while_data_is_brought_is_not_forgotten(pod):
    script(pod.machine(0) / "skinflow/bin/gcloud", ENDS_WELL)
    pod.run("run", "--exec", "--worker=0", "--data=gs://b/d", "--", "work", type="v5p-16")
    pod.until(lambda: (pod.machine(0) / "copying").exists())
    pod.systemctl(0, "stop", "skinflow")
    assert starts(pod, 0) == [] and ended(pod, 0) is None
    assert state(pod, 0) == "inactive"


def test_watch_starts_a_failed_job_once_because_a_person_asks(pod):
    codes(pod, "1 1 0")
    start(pod)
    pod.until(lambda: ended(pod, 0) == ended(pod, 1) == "1")
    pod.run("resume", "--exec", "--watch", "--", "work", type="v5p-16")
    pod.fails(1, "the job has failed")
    assert len(starts(pod, 0)) == 2


@pytest.mark.parametrize(
    ("each", "states", "made"),
    [
        # A preemption on the way, seen twice; then connections that broke.
        ("42 0", [ACTIVE, ACTIVE, ACTIVE, GONE, GONE, ACTIVE], 1),
        ("0", [BROKEN, ACTIVE, ACTIVE, ACTIVE, BROKEN, ACTIVE], 0),
    ],
)
def test_watch_goes_on_until_the_job_has_finished(tmp_path, each, states, made):
    pod = with_work(Pod(tmp_path, machines=2))
    codes(pod, each)
    pod.answers({**pod.there(2), "queued-resources describe": states})
    pod.run("resume", "--exec", "--watch", "--", "work", type="v5p-16")
    pod.succeeds()
    assert len(starts(pod, 0)) == len(each.split())
    for verb in ("create", "delete"):
        assert len(pod.calls(f"queued-resources {verb}")) == made
