"""launch/gpu_local.sh and launch/debug_gpu.py, without a GPU."""

import os
import shlex
import subprocess
import sys

import pytest
from stand_ins import LAUNCH, StandIns

COMMAND = ["skinflow", "train", "--config=debug_sft", "--workdir=runs/x", "--resume"]


def box(tmp_path, *answers):
    return StandIns(tmp_path / "bin", "nvidia-smi", "python3", "skinflow", answers=answers)


def runs(machine):
    return [call for call in machine.calls() if call[0] == "skinflow"]


def test_one_process_drives_all_gpus(tmp_path):
    machine = box(tmp_path)
    assert machine.run("gpu_local.sh", "--", *COMMAND).returncode == 0
    assert runs(machine) == [[*COMMAND, "--cluster=none"]]


@pytest.mark.parametrize(
    ("codes", "starts", "code"), [([42, 0], 2, 0), ([42] * 9, 3, 42), ([1], 1, 1), ([2], 1, 2)]
)
def test_it_starts_again_on_42_alone(tmp_path, codes, starts, code):
    machine = box(tmp_path, ["skinflow train", [{"code": code} for code in codes]])
    done = machine.run("gpu_local.sh", "--restarts=2", "--", *COMMAND)
    assert (len(runs(machine)), done.returncode) == (starts, code)


def test_no_restart_may_be_asked_for(tmp_path):
    machine = box(tmp_path, ["skinflow train", [{"code": 42}]])
    assert machine.run("gpu_local.sh", "--restarts=0", "--", *COMMAND).returncode == 42
    assert len(runs(machine)) == 1


def test_a_failed_check_keeps_the_run_from_starting(tmp_path):
    machine = box(tmp_path, ["debug_gpu.py", [{"code": 1}]])
    assert machine.run("gpu_local.sh", "--check", "--", *COMMAND).returncode == 1
    assert runs(machine) == []


def test_a_dry_run_prints_what_a_run_calls(tmp_path):
    machine = box(tmp_path)
    flags = ["--check", "--gpus=0,1", "--", *COMMAND]
    dry = machine.run("gpu_local.sh", "--dry-run", *flags)
    assert machine.calls() == []
    machine.run("gpu_local.sh", *flags)
    printed = [shlex.split(line) for line in dry.stdout.splitlines()]
    assert [line[:2] for line in printed] == [["env", "CUDA_VISIBLE_DEVICES=0,1"]] * 2
    called = [call for call in machine.calls() if call[0] != "nvidia-smi"]
    assert [line[2:] for line in printed] == called


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no command"),
        (["--gpus=all", "--", "true"], "--gpus=0,1"),
        (["--gpus=0,,1,", "--", "true"], "--gpus=0,,1,"),
        (["--gpus=1,0,1", "--", "true"], "twice"),
        (["--restarts=x", "--", "true"], "--restarts"),
        (["--restarts=08", "--", "true"], "--restarts"),
        (["--", "no-such-command"], "not a command"),
        (["train"], "after --"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, arguments, said):
    done = box(tmp_path).run("gpu_local.sh", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_gpu_it_names_the_way_that_works(tmp_path):
    machine = box(tmp_path, ["nvidia-smi", [{"code": 9}]])
    done = machine.run("gpu_local.sh", "--", *COMMAND)
    assert done.returncode == 2
    assert "local_pod.sh" in done.stderr


def debug(*arguments):
    return subprocess.run(
        [sys.executable, LAUNCH / "debug_gpu.py", *arguments],
        env=os.environ
        | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
        text=True,
        capture_output=True,
        timeout=120,
    )


def test_the_checks_pass_on_devices_that_are_well():
    done = debug("--platform=cpu", "--size=64")
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    # Two shares of one busy processor may differ in speed; that is not what is tested here.
    failed = [line for line in lines if not line.startswith("ok") and "unlike speeds" not in line]
    assert failed == []


def test_no_gpu_is_one_line_and_2():
    done = debug()
    assert done.returncode == 2
    assert "JAX has no gpu" in done.stderr
    assert len(done.stderr.splitlines()) == 1
