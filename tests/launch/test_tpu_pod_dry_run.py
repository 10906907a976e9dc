"""--dry-run of every subcommand and every size: commands that can be pasted, and nothing done."""

import shlex

import pytest
from pod_stand_in import Pod
from test_tpu_sizes import SIZES

COMMANDS = {
    "create": [],
    "setup": [],
    "doctor": ["--root=gs://b/r"],
    "run": ["--root=gs://b/r", "--data=gs://b/d"],
    "logs": ["--follow"],
    "status": [],
    "resume": ["--root=gs://b/r", "--data=gs://b/d", "--watch"],
    "delete": [],
}


def shown(pod):
    lines = pod.out.splitlines()
    assert lines and pod.err == ""
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("type", ["v6e-16", "tpu7x-32"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_shown_and_none_is_run(tmp_path, command, type):
    pod = Pod(tmp_path)
    # Without gcloud or a login: what would be done can be looked at before there is an account.
    pod.answers({"auth list": [{"out": ""}]})
    pod.run(command, *COMMANDS[command], "--dry-run", type=type)
    pod.succeeds()
    assert {words[0] for words in shown(pod)} <= {"gcloud", "bash"}
    assert not (tmp_path / "calls").exists()
    if command not in ("create", "delete"):
        workers = [words for words in shown(pod) if "ssh" in words]
        assert len(workers) % 4 == 0 and len(workers) >= 4


@pytest.mark.parametrize("size", SIZES[::6], ids=lambda size: size["type"])
def test_what_is_shown_for_a_size_is_of_that_size(tmp_path, size):
    pod = Pod(tmp_path)
    for backend in size["backends"].split(","):
        pod.run("create", f"--backend={backend}", "--dry-run", type=size["type"])
        words = [word for line in shown(pod) for word in line]
        if backend == "group":
            assert f"--size={size['machines']}" in words
            assert f"--machine-type={size['machine']}" in words
        else:
            assert f"--runtime-version={size['runtime']}" in words


def test_help_and_a_short_word_for_each_command(tmp_path):
    pod = Pod(tmp_path)
    pod.run("--help")
    pod.succeeds()
    assert all(f"\n  {command} " in pod.out for command in COMMANDS)
