"""launch/slurm.sbatch inside a job, with srun and scontrol that note what they are called with."""

import re
import shlex
import subprocess

import pytest
from stand_ins import LAUNCH, StandIns

COMMAND = ["skinflow", "train", "--config=debug_sft", "--workdir=/shared/run", "--resume"]
JOB = {"SLURM_JOB_ID": "12001", "SLURM_JOB_NODELIST": "node[3-4]"}


def slurm(tmp_path, code=0):
    hosts = ["show hostnames", [{"out": "node3\nnode4\n"}]]
    return StandIns(
        tmp_path / "bin", "srun", "scontrol", answers=[hosts, ["srun", [{"code": code}]]]
    )


def submitted(cluster, *, nodes=1, tasks=1, **more):
    layout = {"SLURM_JOB_NUM_NODES": str(nodes), "SLURM_NTASKS_PER_NODE": str(tasks)}
    return cluster.run("slurm.sbatch", *COMMAND, **JOB, **layout, **more)


def srun(cluster):
    [call] = [call for call in cluster.calls() if call[0] == "srun"]
    return call


def test_one_node_is_one_process_with_all_gpus(tmp_path):
    cluster = slurm(tmp_path)
    assert submitted(cluster).returncode == 0
    assert srun(cluster)[2:] == [*COMMAND, "--cluster=none"]


def test_one_task_a_gpu_is_found_by_slurms_variables(tmp_path):
    cluster = slurm(tmp_path)
    submitted(cluster, nodes=2, tasks=8)
    assert srun(cluster)[2:] == [*COMMAND, "--cluster=slurm"]


def test_one_task_a_node_gets_addresses_and_is_python_itself(tmp_path):
    cluster = slurm(tmp_path)
    submitted(cluster, nodes=2)
    shell, flag, program, _, *rest = srun(cluster)[2:]
    assert (shell, flag) == ("bash", "-c")
    assert program.startswith("exec ")
    assert '--process="$SLURM_NODEID"' in program
    assert rest == [*COMMAND, "--coordinator=node3:20001", "--processes=2"]


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"),
    [(42, 0, True), (137, 0, True), (42, 50, False), (0, 0, False), (1, 0, False), (2, 3, False)],
)
def test_only_what_may_start_again_is_requeued(tmp_path, code, restarts, requeued):
    cluster = slurm(tmp_path, code)
    done = submitted(cluster, SLURM_RESTART_COUNT=str(restarts))
    assert done.returncode == code
    assert (["scontrol", "requeue", "12001"] in cluster.calls()) == requeued
    if code == 42 and not requeued:
        assert "not requeued" in done.stderr


def test_tasks_get_sigterm_well_before_the_time_limit():
    text = (LAUNCH / "slurm.sbatch").read_text()
    [(name, seconds)] = re.findall(r"^#SBATCH --signal=(\w+)@(\d+)$", text, re.MULTILINE)
    # With B: it would go to this shell, and not to the tasks.
    assert name == "TERM"
    assert int(seconds) > 25
    # Slurm stops reading its directives at the first command.
    head = text[: text.index("set -euo pipefail")]
    assert text.count("#SBATCH --") == head.count("#SBATCH --")
    assert "#SBATCH --requeue\n" in head


def test_a_dry_run_starts_nothing(tmp_path):
    cluster = slurm(tmp_path)
    dry = cluster.run("slurm.sbatch", "--dry-run", *COMMAND)
    assert cluster.calls() == []
    submitted(cluster)
    assert shlex.split(dry.stdout.splitlines()[0]) == srun(cluster)


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (1, False), (42, True), (137, True)])
def test_what_a_dry_run_prints_does_the_same_when_pasted(tmp_path, code, requeued):
    cluster = slurm(tmp_path, code)
    dry = cluster.run("slurm.sbatch", "--dry-run", *COMMAND)
    environment = cluster.environment(SLURM_JOB_ID="12001")
    subprocess.run(["bash", "-c", dry.stdout], env=environment, stdin=subprocess.DEVNULL)
    assert (["scontrol", "requeue", "12001"] in cluster.calls()) == requeued
    inside = cluster.run("slurm.sbatch", "--dry-run", *COMMAND, **JOB)
    assert "scontrol requeue 12001;" in inside.stdout


def test_a_requeue_that_fails_is_said_and_ends_with_42(tmp_path):
    answers = [["srun", [{"code": 42}]], ["scontrol requeue", [{"code": 1, "err": "refused\n"}]]]
    cluster = StandIns(tmp_path / "bin", "srun", "scontrol", answers=answers)
    done = submitted(cluster)
    assert done.returncode == 42
    assert "could not be requeued" in done.stderr
    assert "requeued (restart" not in done.stdout


@pytest.mark.parametrize("number", ["abc", "-1", "08", "9" * 20])
def test_a_wrong_number_of_restarts_is_said_before_the_run(tmp_path, number):
    cluster = slurm(tmp_path, 42)
    done = submitted(cluster, MAX_RESTARTS=number)
    assert done.returncode == 2
    assert f"MAX_RESTARTS must be a whole number, not '{number}'" in done.stderr
    assert cluster.calls() == []


@pytest.mark.parametrize(
    ("arguments", "job", "said"),
    [
        ([], JOB, "no command"),
        (COMMAND, {}, "submit it: sbatch"),
        (COMMAND[:-1], JOB, "--resume"),
        (["--nodes=2", *COMMAND], JOB, "before the script"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, arguments, job, said):
    done = slurm(tmp_path).run("slurm.sbatch", *arguments, **job)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
