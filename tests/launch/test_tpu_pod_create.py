"""tpu_pod.sh create and delete with queued resources, and all that may stand in between."""

import os

import pytest
from pod_stand_in import ACTIVE, LOGGED_IN, NOT_FOUND, READY, Pod

QUEUED = "queued-resources describe"
NODE = "format=value(state)"


def waiting(word):
    return {"out": f"{word}\t\n"}


@pytest.fixture
def pod(tmp_path):
    return Pod(tmp_path)


@pytest.mark.parametrize(
    ("type", "accelerator", "runtime"),
    [
        ("v4-32", "v4-32", "tpu-ubuntu2204-base"),
        ("v5litepod-16", "v5litepod-16", "v2-alpha-tpuv5-lite"),
        ("v5e-16", "v5litepod-16", "v2-alpha-tpuv5-lite"),
        ("v5p-32", "v5p-32", "v2-alpha-tpuv5"),
        ("v6e-16", "v6e-16", "v2-alpha-tpuv6e"),
    ],
)
def test_an_absent_slice_is_asked_for_and_waited_for(pod, type, accelerator, runtime):
    states = ["CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING"]
    pod.answers(
        {
            QUEUED: [NOT_FOUND, *map(waiting, states), ACTIVE],
            NODE: [{"out": "CREATING\n"}, READY],
        }
    )
    pod.run("create", "--spot", "--valid-until=6h", type=type)
    pod.succeeds()
    (call,) = pod.calls("queued-resources create")
    assert call == [
        *["compute", "tpus", "queued-resources", "create", "derm"],
        *["--zone=us-east5-b", "--project=p", "--node-id=derm"],
        *[f"--accelerator-type={accelerator}", f"--runtime-version={runtime}"],
        *["--spot", "--valid-until-duration=6h", "--quiet"],
    ]
    for state in states:
        assert f"derm: {state}\n" in pod.err
    assert "derm is ready" in pod.err


def test_a_slice_that_is_there_is_left_alone(pod):
    pod.answers({QUEUED: [ACTIVE], NODE: [READY]})
    pod.run("create")
    pod.succeeds()
    assert not pod.calls("create") and not pod.calls("delete")


def test_a_request_that_waits_is_not_made_twice(pod):
    pod.answers({QUEUED: [waiting("WAITING_FOR_RESOURCES")]})
    pod.run("create", "--no-wait")
    pod.succeeds()
    assert not pod.calls("create")
    pod.run("create", "--patience=1")
    pod.fails(1, "WAITING_FOR_RESOURCES", "create goes on waiting")


@pytest.mark.parametrize(
    ("request_state", "node"),
    [
        (waiting("SUSPENDED"), READY),
        (waiting("SUSPENDING"), READY),
        ({"out": "FAILED\tno capacity\n"}, READY),
        (ACTIVE, {"out": "PREEMPTED\n"}),
        (ACTIVE, NOT_FOUND),
    ],
)
def test_a_slice_that_was_taken_away_is_deleted_and_created_again(pod, request_state, node):
    pod.answers(
        {QUEUED: [request_state, ACTIVE], NODE: [node, READY] if node != READY else [READY]}
    )
    pod.run("create")
    pod.succeeds()
    made = [call[3] for call in pod.calls("queued-resources") if call[3] != "describe"]
    assert made == ["delete", "create"]
    assert "--force" in pod.calls("delete")[0]


def test_a_request_that_fails_while_it_waits_says_why(pod):
    pod.answers({QUEUED: [NOT_FOUND, {"out": "FAILED\tNo available resources\n"}]})
    pod.run("create")
    pod.fails(1, "cannot be had", "No available resources")


def test_one_that_is_suspended_while_it_waits_is_not_asked_for_without_end(pod):
    pod.answers({QUEUED: [NOT_FOUND, waiting("SUSPENDED")]})
    pod.run("create")
    pod.fails(1, "taken away", "SUSPENDED")
    assert len(pod.calls("queued-resources create")) == 1


def test_reserved_and_network(pod):
    pod.answers({QUEUED: [NOT_FOUND]})
    pod.run("create", "--no-wait", "--reserved", "--network=n", "--subnetwork=s")
    assert {"--reserved", "--network=n", "--subnetwork=s"} <= set(pod.calls("create")[0])


def test_no_gcloud(pod, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("bash", "dirname", "awk", "mktemp", "rm", "cat"):
        (bare / name).symlink_to(f"/usr/bin/{name}")
    pod.run("status", path=str(bare))
    pod.fails(2, "gcloud is not there", "https://cloud.google.com/sdk")


@pytest.mark.parametrize(
    ("error", "code", "pieces"),
    [
        (
            "ERROR: (gcloud.x) There was a problem: Reauthentication failed.",
            2,
            ["gcloud auth login"],
        ),
        ("ERROR: (gcloud.x) You do not currently have an active account", 2, ["gcloud auth login"]),
        ("ERROR: (gcloud.x) PERMISSION_DENIED: tpu.nodes.get", 2, ["roles/tpu.admin"]),
        ("ERROR: (gcloud.x) unrecognized arguments: --y", 2, ["gcloud components update"]),
        ("ERROR: (gcloud.x) Quota 'TPUS' exceeded", 1, ["quota", "another zone"]),
        ("ERROR: (gcloud.x) INTERNAL: what a pity", 1, ["what a pity"]),
    ],
)
def test_what_gcloud_says_is_one_line_with_what_to_do(pod, error, code, pieces):
    pod.answers({QUEUED: [{"err": f"noise\n{error}\nTo learn more\n"}]})
    pod.run("create")
    pod.fails(code, *pieces)
    assert len(pod.err.splitlines()) == 1


def test_a_zone_that_is_not_found_is_no_slice_that_is_absent(pod):
    error = {"err": "ERROR: (gcloud.x) NOT_FOUND: zone us-east5-b\n"}
    pod.answers({QUEUED: [NOT_FOUND], "queued-resources create": [error]})
    pod.run("create")
    pod.fails(2, "zone us-east5-b", "--zone")


def test_delete_takes_the_node_along_and_is_content_with_nothing(pod):
    pod.answers({"queued-resources delete": [{}, NOT_FOUND]})
    for _ in range(2):
        pod.run("delete")
        pod.succeeds()
    assert pod.calls()[0][3:] == [
        "delete",
        "derm",
        "--zone=us-east5-b",
        "--project=p",
        "--force",
        "--quiet",
    ]


@pytest.mark.parametrize(
    ("words", "type", "pieces"),
    [
        (["create"], "v6e-12", ["v6e-12", "v6e-8 v6e-16"]),
        (["create"], "h100-8", ["h100-8", "v4-8", "tpu7x-512"]),
        (["create", "--backend=tpu-vm"], "tpu7x-16", ["--backend=group"]),
        (["create", "--spot", "--reserved"], "v6e-16", ["--spot"]),
        (["create", "--reservation=r"], "v6e-16", ["--reserved"]),
        (["create", "--zone=us-east5"], "v6e-16", ["us-east5"]),
        (["create", "--project=my project"], "v6e-16", ["--project=my project", "my-project"]),
        (["create", "--name=Derm"], "v6e-16", ["lower-case"]),
        (["create", f"--name={'a' * 64}"], "v6e-16", ["63"]),
        (["create", f"--name={'a' * 55}"], "tpu7x-16", ["54"]),
        (["create", "--name=derm-"], "v6e-16", ["no - last"]),
        (["create", "--valid-until=banana"], "v6e-16", ["--valid-until=banana", "6h"]),
        (["create", "--disk=lots"], "tpu7x-16", ["--disk=lots", "200GB"]),
        (["create", "--port=99999"], "v6e-16", ["65535"]),
        (["run", "--root=/r", "--data=/local/dir"], "v6e-16", ["--data=/local/dir", "gs://"]),
        (["run", "--root=gs://", "--data=gs://b"], "v6e-16", ["--root=gs://"]),
        (["create", "--patience=soon"], "v6e-16", ["--patience"]),
        (["create", "--config=x"], "v6e-16", ["--config=x", "after --"]),
        (["create", "--", "x"], "v6e-16", ["nothing after --"]),
        (["create", "--slices=2"], "v6e-16", ["launch/gke/submit.sh --slices=2"]),
        (["create", "--name="], "v6e-16", ["--name", "POD_NAME"]),
        (["destroy"], "v6e-16", ["destroy", "create"]),
        (["run"], "v6e-16", ["--root"]),
        (["run", "--exec"], "v6e-16", ["--exec"]),
        (["run", "--root=/r", "--worker=1"], "v6e-16", ["--exec"]),
        (["run", "--root=gs://b"], "v6e-16", ["--data=gs://"]),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(pod, words, type, pieces):
    pod.answers({QUEUED: [NOT_FOUND]})
    pod.run(*words, type=type)
    pod.fails(2, *pieces)
    assert not pod.calls("create") and not pod.calls("ssh")


def test_the_variables_stand_for_the_flags(pod):
    pod.answers({QUEUED: [waiting("CREATING")]})
    done = pod.run("create", "--no-wait", POD_NAME="other")
    assert done.returncode == 0 and LOGGED_IN
    assert os.environ.get("POD_NAME") is None
