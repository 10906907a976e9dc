"""launch/sky.yaml: what SkyPilot is asked for, and its commands with stand-ins."""

import subprocess

import pytest
import yaml
from stand_ins import LAUNCH, StandIns

TASK = yaml.safe_load((LAUNCH / "sky.yaml").read_text())
COMMAND = "skinflow train --config=debug_sft --workdir=gs://b/run --resume"


def test_spot_machines_come_back_on_42_alone():
    resources = TASK["resources"]
    assert resources["use_spot"] is True
    recovery = resources["job_recovery"]
    # SkyPilot kills the other machines with 137 once one has failed.
    assert recovery["recover_on_exit_codes"] == [42]
    assert recovery["max_restarts_on_errors"] == 0
    assert recovery["strategy"] in ("FAILOVER", "EAGER_NEXT_REGION")


def test_its_fields_are_skypilots():
    assert set(TASK) <= {"name", "workdir", "resources", "envs", "setup", "run", "num_nodes"}
    known = "accelerators accelerator_args use_spot disk_size job_recovery"
    assert set(TASK["resources"]) <= set(known.split())


def test_a_command_must_be_given():
    # SkyPilot refuses a task with an empty variable.
    assert TASK["envs"]["COMMAND"] == ""


@pytest.fixture
def machine(tmp_path):
    """Runs a part of the task as SkyPilot does: a script of bash with its variables."""
    (tmp_path / "skinflow-venv" / "bin").mkdir(parents=True)
    (tmp_path / "skinflow-venv" / "bin" / "activate").touch()

    def run(part, *commands, code=0, answers=(), **variables):
        commands = StandIns(tmp_path / "bin", "skinflow", *commands, answers=answers)
        done = subprocess.run(
            ["bash", "-c", TASK[part]],
            env=commands.environment(HOME=str(tmp_path), **TASK["envs"] | variables),
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return commands.calls()

    return run


def test_machines_of_a_tpu_slice_find_one_another(machine):
    calls = machine("run", COMMAND=COMMAND, SKYPILOT_NUM_NODES="4", SKYPILOT_NODE_IPS="10.0.0.1")
    assert calls == [COMMAND.split()]


def test_words_of_the_command_may_be_quoted(machine):
    calls = machine("run", COMMAND="skinflow train --workdir='/a b'", SKYPILOT_NUM_NODES="1")
    assert calls == [["skinflow", "train", "--workdir=/a b"]]


@pytest.mark.parametrize("tools", [(), ("nvidia-smi",)])
@pytest.mark.parametrize(
    "command", ["", " ", f"{COMMAND} && true", f"{COMMAND}; true", f"{COMMAND} | tee x", "a 'b"]
)
def test_a_command_that_is_not_one_is_refused_before_anything(machine, command, tools):
    words = {"COMMAND": command, "DATA": "gs://b/data", "SKYPILOT_NUM_NODES": "1"}
    assert machine("run", "gcloud", *tools, code=2, **words) == []


def test_several_gpu_machines_get_addresses(machine):
    calls = machine(
        "run",
        "nvidia-smi",
        COMMAND=COMMAND,
        SKYPILOT_NUM_NODES="2",
        SKYPILOT_NODE_RANK="1",
        SKYPILOT_NODE_IPS="10.0.0.1\n10.0.0.2",
    )
    more = ["--coordinator=10.0.0.1:8476", "--processes=2", "--process=1"]
    assert calls == [COMMAND.split() + more]


def test_one_gpu_machine_is_one_process(machine):
    assert machine("run", "nvidia-smi", COMMAND=COMMAND, SKYPILOT_NUM_NODES="1") == [
        COMMAND.split()
    ]


@pytest.mark.parametrize(("tools", "extra"), [((), "tpu"), (("nvidia-smi",), "cuda")])
def test_setup_brings_a_python_and_the_right_jax(machine, tools, extra):
    calls = machine("setup", "uv", "sudo", *tools, DATA="gs://b/data")
    assert next(call for call in calls if "venv" in call)[:3] == ["uv", "venv", "--python=3.12"]
    [install] = [call for call in calls if "install" in call]
    assert f".[{extra}]" in install


COPY = ["gcloud", "storage", "rsync", "--recursive", "gs://b/data", "/data"]


@pytest.mark.parametrize(("fails", "code"), [(0, 0), (2, 0), (3, 42)])
def test_data_that_could_not_be_brought_is_tried_again_and_never_fails_the_job(
    machine, fails, code
):
    answers = [["gcloud storage rsync", [{"code": 1}] * fails + [{}]]]
    words = {"COMMAND": COMMAND, "DATA": "gs://b/data", "SKYPILOT_NUM_NODES": "1"}
    calls = machine("run", "gcloud", "sleep", code=code, answers=answers, **words)
    assert calls.count(COPY) == min(fails + 1, 3)
    assert (COMMAND.split() in calls) == (code == 0)


def test_nothing_is_copied_where_there_is_no_data(machine):
    calls = machine("run", "gcloud", COMMAND=COMMAND, SKYPILOT_NUM_NODES="1")
    assert calls == [COMMAND.split()]
