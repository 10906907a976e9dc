"""tpu_pod.sh with a managed instance group: policy, template, group, resize."""

import pytest
from pod_stand_in import NOT_FOUND, Pod

GROUP = "managed describe"
MACHINES = "managed list-instances"
POLICY = (
    "https://www.googleapis.com/compute/v1/projects/p/regions/us-east5/resourcePolicies/derm-policy"
)


def machines(*states):
    rows = [f"derm-{i}\t{state}" for i, state in enumerate(states)]
    return {"out": "\n".join(rows) + "\n"}


def up(count):
    return machines(*["RUNNING\tNONE"] * count)


def coming(count):
    return machines(*["\tCREATING"] * count)


@pytest.fixture
def pod(tmp_path):
    return Pod(tmp_path)


def test_a_group_is_made_of_policy_template_group_and_one_resize(pod):
    pod.answers(
        {
            GROUP: [NOT_FOUND, {"out": "4\tFalse\n"}, {"out": "4\tTrue\n"}],
            MACHINES: [coming(4), up(4)],
            "delete": [NOT_FOUND],
        }
    )
    pod.run("create", "--reservation=r", type="tpu7x-32")
    pod.succeeds()
    made = [call for call in pod.calls() if {"create", "resize"} & set(call)]
    policy, template, group, resize = made
    assert policy[:4] == ["compute", "resource-policies", "create", "workload-policy"]
    assert policy[4] == "derm-policy"
    assert {"--type=HIGH_THROUGHPUT", "--accelerator-topology=2x2x4", "--region=us-east5"} <= set(
        policy
    )
    assert template[:4] == ["compute", "instance-templates", "create", "derm-template"]
    assert {
        "--machine-type=tpu7x-standard-4t",
        "--image-family=ubuntu-accel-2404-amd64-tpu-tpu7x",
        "--image-project=ubuntu-os-accelerator-images",
        "--maintenance-policy=TERMINATE",
        "--provisioning-model=RESERVATION_BOUND",
        "--instance-termination-action=DELETE",
        "--reservation-affinity=specific",
        "--reservation=r",
        "--scopes=cloud-platform",
    } <= set(template)
    assert {
        "--size=0",
        "--template=derm-template",
        "--target-size-policy-mode=bulk",
        f"--workload-policy={POLICY}",
        "--default-action-on-vm-failure=do-nothing",
    } <= set(group)
    assert resize[3:5] == ["resize", "derm"] and "--size=4" in resize


@pytest.mark.parametrize(
    ("type", "machine", "topology"),
    [("v6e-16", "ct6e-standard-4t", "4x4"), ("v5p-32", "ct5p-hightpu-4t", "2x2x4")],
)
def test_other_generations_take_their_machine(pod, type, machine, topology):
    pod.answers({GROUP: [NOT_FOUND]})
    pod.run("create", "--no-wait", "--backend=group", "--spot", type=type)
    pod.succeeds()
    (template,) = pod.calls("instance-templates create")
    assert f"--machine-type={machine}" in template
    assert "--image-family=ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e" in template
    assert "--provisioning-model=SPOT" in template
    assert pod.calls(f"--accelerator-topology={topology}")
    assert pod.calls("managed create", "--target-size-policy-mode=bulk")


def test_one_machine_needs_no_policy(pod):
    pod.answers({GROUP: [NOT_FOUND]})
    pod.run("create", "--no-wait", type="tpu7x-8")
    pod.succeeds()
    assert not pod.calls("workload-policy") and not pod.calls("bulk")


def test_what_an_earlier_try_left_goes_first(pod):
    pod.answers({GROUP: [NOT_FOUND]})
    pod.run("create", "--no-wait", type="tpu7x-32")
    words = [call[1:4] for call in pod.calls()]
    assert words.index(["instance-templates", "delete", "derm-template"]) < words.index(
        ["instance-templates", "create", "derm-template"]
    )
    assert words.index(["resource-policies", "delete", "derm-policy"]) < words.index(
        ["resource-policies", "create", "workload-policy"]
    )


def test_capacity_is_waited_for_and_a_refusal_is_not(pod):
    table = {
        GROUP: [NOT_FOUND, {"out": "4\tFalse\n"}],
        MACHINES: [coming(4)],
        "list-errors": [
            {"out": "ZONE_RESOURCE_POOL_EXHAUSTED\tnot enough\n"},
            {"out": "QUOTA_EXCEEDED\tQuota 'TPUS' exceeded. Limit: 0\n"},
        ],
    }
    pod.answers(table)
    pod.run("create", type="tpu7x-32")
    assert "0 of 4 machines RUNNING; ZONE_RESOURCE_POOL_EXHAUSTED\n" in pod.err
    pod.fails(1, "cannot be had", "QUOTA_EXCEEDED", "Limit: 0")


@pytest.mark.parametrize(
    ("group", "listed"),
    [
        ("4\tTrue\n", up(3)),
        ("4\tFalse\n", machines(*["RUNNING\tNONE"] * 3, "TERMINATED\tNONE")),
        ("0\tTrue\n", {"out": ""}),
    ],
)
def test_half_a_slice_is_created_again_whole(pod, group, listed):
    pod.answers({GROUP: [{"out": group}, {"out": "4\tTrue\n"}], MACHINES: [listed, up(4)]})
    pod.run("create", type="tpu7x-32")
    pod.succeeds()
    assert pod.calls("managed delete") and pod.calls("resize", "--size=4")


def test_delete_removes_all_parts_and_is_content_with_none(pod):
    pod.answers({"delete": [NOT_FOUND]})
    pod.run("delete", type="tpu7x-32")
    pod.succeeds()
    assert [call[1] for call in pod.calls()] == [
        "instance-groups",
        "instance-templates",
        "resource-policies",
    ]


def test_workers_are_numbered_as_the_slice_numbers_them(tmp_path):
    pod = Pod(tmp_path, machines=2)
    pod.copy_code()
    for name, number in ((0, 1), (1, 0)):
        metadata = pod.machine(name) / "metadata"
        metadata.mkdir()
        (metadata / "worker-id").write_text(str(number))
        (metadata / "ip").write_text(f"10.0.0.{number}")
    pod.answers(
        {
            GROUP: [{"out": "2\tTrue\n"}],
            f"{MACHINES} derm --zone=us-east5-b --project=p --format=value(name) ": [
                {"out": "derm-0\nderm-1\n"}
            ],
            MACHINES: [up(2)],
        }
    )
    pod.run("run", "--exec", "--", "true", type="tpu7x-16")
    pod.succeeds()
    for name, number in ((0, 1), (1, 0)):
        command = (pod.machine(name) / "skinflow/command").read_text()
        assert f'"--process={number}"' in command
        assert '"--coordinator=10.0.0.0:8476"' in command and '"--processes=2"' in command
    pod.stop()


def test_flags_of_the_other_back_end_are_refused(pod):
    for flag in ("--reserved", "--valid-until=1h"):
        pod.run("create", flag, type="tpu7x-32")
        pod.fails(2, flag.partition("=")[0])
