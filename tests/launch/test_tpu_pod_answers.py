"""Every subcommand of tpu_pod.sh with every answer that a cloud may give: what it says or does.

What it does where all is well, and on the machines, is tested beside this file.
"""

import pytest
from pod_stand_in import ACTIVE, NOT_FOUND, READY, Pod

COMMANDS = {
    "create": ["--no-wait"],
    "setup": [],
    "doctor": [],
    "run": ["--root=gs://b", "--records=/r"],
    "logs": [],
    "status": [],
    "resume": ["--root=gs://b", "--records=/r"],
    "delete": [],
}
ANSWERS = {
    "NOT_FOUND": NOT_FOUND,
    "SUSPENDED": {"out": "SUSPENDED\t\n"},
    "FAILED": {"out": "FAILED\tno capacity\n"},
    "PROVISIONING": {"out": "PROVISIONING\t\n"},
    "a missing worker": ACTIVE,
}
# Of a group: what `describe` and `list-instances` say.
GROUP = {
    "NOT_FOUND": (NOT_FOUND, {"out": ""}),
    "a lost machine": (
        {"out": "2\tTrue\n"},
        {"out": "derm-0\tRUNNING\tNONE\nderm-1\tSTOPPED\tNONE\n"},
    ),
    "a machine that is coming": (
        {"out": "2\tFalse\n"},
        {"out": "derm-0\tRUNNING\tNONE\nderm-1\t\tCREATING\n"},
    ),
}
# What those say that need the slice.
NEED = {
    "NOT_FOUND": "there is no derm in us-east5-b: launch/tpu_pod.sh create",
    "SUSPENDED": "derm is lost (SUSPENDED): launch/tpu_pod.sh resume",
    "FAILED": "derm is lost (FAILED: no capacity): launch/tpu_pod.sh resume",
    "PROVISIONING": "derm is not ready (PROVISIONING): launch/tpu_pod.sh create",
    "a missing worker": "1 of 2 workers are there: launch/tpu_pod.sh delete, then resume",
    "a lost machine": "derm is lost (1 of 2 machines RUNNING): launch/tpu_pod.sh resume",
    "a machine that is coming": "not ready (1 of 2 machines RUNNING): launch/tpu_pod.sh create",
}
# Which of create and delete are asked of the cloud by `create` and `resume`.
ASKED = {
    "NOT_FOUND": ["create"],
    "SUSPENDED": ["delete", "create"],
    "FAILED": ["delete", "create"],
    "a lost machine": ["delete", "create"],
}


@pytest.fixture
def pod(tmp_path):
    return Pod(tmp_path)


def queued(pod, answer):
    """A queued resource that is as told until it is asked for, and then waits."""
    then = [ANSWERS["PROVISIONING"]] if answer in ASKED else []
    pod.answers(
        {
            "queued-resources describe": [ANSWERS[answer], *then],
            "format=value(state)": [READY],
            "networkEndpoints": [{"out": "10.0.0.1\n"}],
        }
    )
    return "v5p-16"


def group(pod, answer):
    described, listed = GROUP[answer]
    pod.answers(
        {
            "managed describe": [described],
            "managed list-instances": [listed],
            "instance-templates delete": [NOT_FOUND],
            "resource-policies delete": [NOT_FOUND],
        }
    )
    return "tpu7x-16"


def made(pod):
    """Of the request or the group: created and deleted, in order."""
    calls = [*pod.calls("queued-resources"), *pod.calls("instance-groups managed")]
    return [call[3] for call in calls if call[3] in ("create", "delete")]


CASES = [(queued, answer) for answer in ANSWERS] + [(group, answer) for answer in GROUP]
of_each = pytest.mark.parametrize(
    ("back_end", "answer"), CASES, ids=[f"{kind.__name__}, {answer}" for kind, answer in CASES]
)


@of_each
@pytest.mark.parametrize("command", ["setup", "doctor", "run", "logs"])
def test_what_needs_the_slice_says_what_to_do_and_touches_no_machine(
    pod, command, back_end, answer
):
    pod.run(command, *COMMANDS[command], type=back_end(pod, answer))
    pod.fails(1, NEED[answer])
    assert not pod.calls(" ssh ") and not pod.calls(" scp ") and made(pod) == []


@of_each
def test_create_asks_for_what_is_not_there_and_deletes_what_cannot_come_back(pod, back_end, answer):
    pod.run("create", "--no-wait", type=back_end(pod, answer))
    pod.succeeds()
    assert made(pod) == ASKED.get(answer, [])


@of_each
def test_resume_does_the_same_and_then_needs_the_slice(pod, back_end, answer):
    pod.run("resume", *COMMANDS["resume"], "--no-wait", type=back_end(pod, answer))
    assert pod.code == 1 and pod.err.splitlines()[-1].startswith("tpu_pod.sh: ")
    assert made(pod) == ASKED.get(answer, [])


@of_each
def test_status_says_the_clouds_own_word_and_is_not_content(pod, back_end, answer):
    pod.run("status", type=back_end(pod, answer))
    word = NEED[answer].partition("(")[2].partition(")")[0] or NEED[answer].partition(" are")[0]
    assert (pod.code, pod.err) == (1, "")
    assert ("NOT_FOUND" if answer == "NOT_FOUND" else word) in pod.out


@of_each
def test_delete_gives_up_whatever_there_is(pod, back_end, answer):
    type = back_end(pod, answer)
    pod.run("delete", type=type)
    pod.succeeds()
    assert made(pod) == ["delete"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("type", ["v5p-16", "tpu7x-16"])
def test_no_login(pod, command, type):
    pod.answers({"auth list": [{"out": ""}]})
    pod.run(command, *COMMANDS[command], type=type)
    pod.fails(2, "gcloud auth login")
    assert not pod.calls()


@pytest.mark.parametrize("command", ["create", "resume"])
def test_a_bulk_group_that_is_refused(pod, command):
    refused = (
        "ERROR: (gcloud.compute.instance-groups.managed.create) Could not fetch resource:\n"
        " - Invalid value for field 'resource.targetSizePolicy.mode': 'BULK'. Not supported here.\n"
    )
    pod.answers({"managed describe": [NOT_FOUND], "managed create": [{"err": refused}]})
    pod.run(command, *COMMANDS[command], type="tpu7x-32")
    pod.fails(1, "targetSizePolicy.mode", "BULK")
    assert not pod.calls("resize")
