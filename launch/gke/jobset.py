"""The fields of a JobSet, each made by a function that says why it is as it is.

JobSet is jobset.x-k8s.io/v1alpha2 (https://jobset.sigs.k8s.io), its jobs are Kubernetes' batch/v1.
"""

import math

# 42 is ours: start me again. From 127 on the process did not end by itself: killed, out of memory,
# or the node went. All else would come again.
START_AGAIN = [42, *range(127, 256)]
# For the interpreter's end and the kubelet, after the save that `--grace` allows.
BEYOND_GRACE = 20
COPIER = "gcr.io/google.com/cloudsdktool/google-cloud-cli:slim"
# What keeps a bucket from being read may pass, and gcloud ends with 1 for all of it. A name that is
# wrong ends at the set's limit of restarts.
COPY = """
for pause in 10 60 0; do
  gcloud storage rsync --recursive "$0" "$1" && exit 0
  sleep "$pause"
done
exit 42
"""
JOB, CONTAINER = "slice", "skinflow"


def failure_policy(max_restarts: int) -> dict:
    """Restarts of all jobs of the set; none where the pods' policy failed one.

    Without the rule the set starts a job again that its own policy has failed.
    """
    rule = {
        "name": "wouldComeAgain",
        "action": "FailJobSet",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    return {"maxRestarts": max_restarts, "rules": [rule]}


def pod_failure_policy(containers: list[str]) -> dict:
    """Which ends of a pod fail its job for good; the first rule that fits counts.

    A pod whose node is taken away counts as a failure that may be tried again, whatever the code.
    """
    taken = {"type": "DisruptionTarget", "status": "True"}
    fail = [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": name, "operator": "NotIn", "values": START_AGAIN},
        }
        for name in containers
    ]
    return {"rules": [{"action": "Count", "onPodConditions": [taken]}, *fail]}


def node_selector(size: dict[str, str], args) -> dict[str, str]:
    """The slice's nodes: kind, shape, and how they are paid for."""
    selector = {
        "cloud.google.com/gke-tpu-accelerator": size["accelerator"],
        "cloud.google.com/gke-tpu-topology": size["topology"],
    }
    if args.spot:
        selector["cloud.google.com/gke-spot"] = "true"
    if args.reservation:
        selector["cloud.google.com/reservation-name"] = args.reservation
    return selector


def storage(args) -> tuple[list[dict], list[dict]]:
    """(volumes of the pod, where the run sees them)."""
    # The 64 MiB of shared memory that a container has by default are too little for data workers.
    volumes = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]
    if args.data:
        volumes.append({"name": "data", "emptyDir": {}})
        mounts.append({"name": "data", "mountPath": "/data"})
    for i, (claim, path) in enumerate(args.volume):
        volumes.append(
            {"name": f"volume-{i}", "persistentVolumeClaim": {"claimName": claim}},
        )
        mounts.append({"name": f"volume-{i}", "mountPath": path})
    return volumes, mounts


def copier(args) -> dict:
    """Copies a bucket's folder to the machine's disk, from which images and records are read."""
    return {
        "name": "data",
        "image": COPIER,
        "command": ["sh", "-c", COPY, args.data, "/data"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }


def container(size: dict[str, str], args, mounts: list[dict]) -> dict:
    """The run. `command` is run as it is, without a shell: process 1, which SIGTERM reaches."""
    ports = [8471, 8476] + ([8080] if args.slices > 1 else [])
    environment = {"PYTHONUNBUFFERED": "1"} | dict(args.env)
    return {
        "name": CONTAINER,
        "image": args.image,
        "command": args.command,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        # Between the chips of a slice, of our coordinator, and between slices.
        "ports": [{"containerPort": port} for port in ports],
        # The devices of the chips, and memory that is locked for transfers to them.
        "securityContext": {"privileged": not args.unprivileged},
        "resources": {"limits": {"google.com/tpu": int(size["chips"]) // int(size["machines"])}},
        "volumeMounts": mounts,
    }


def pod(size: dict[str, str], args) -> dict:
    """The pod of one machine: it has all chips of it, and its network."""
    volumes, mounts = storage(args)
    spec = {
        # Whether and what to start again is for the JobSet: all processes or none.
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": math.ceil(args.grace) + BEYOND_GRACE,
        "nodeSelector": node_selector(size, args),
        "hostNetwork": True,
        # Without it a pod on the host's network does not find its peers by name.
        "dnsPolicy": "ClusterFirstWithHostNet",
        "containers": [container(size, args, mounts)],
        "volumes": volumes,
    }
    if args.data:
        spec["initContainers"] = [copier(args)]
    if args.service_account:
        spec["serviceAccountName"] = args.service_account
    if args.spot:
        key = "cloud.google.com/gke-spot"
        spec["tolerations"] = [
            {"key": key, "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        ]
    return spec


def jobset(size: dict[str, str], args) -> dict:
    """The whole JobSet. `args` as `render.parse` gives them, checked; `size` a row of the table."""
    machines = int(size["machines"])
    job = {
        "completionMode": "Indexed",
        "parallelism": machines,
        "completions": machines,
        # One pod that fails fails the job: its peers cannot go on without it.
        "backoffLimit": 0,
        "podFailurePolicy": pod_failure_policy([CONTAINER] + ["data"] * bool(args.data)),
        "template": {"spec": pod(size, args)},
    }
    metadata = {
        "name": args.name,
        # A slice for each job: a node pool has one.
        "annotations": {
            "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
        },
    }
    if args.namespace:
        metadata["namespace"] = args.namespace
    if args.queue:
        metadata["labels"] = {"kueue.x-k8s.io/queue-name": args.queue}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": failure_policy(args.max_restarts),
            "replicatedJobs": [{"name": JOB, "replicas": args.slices, "template": {"spec": job}}],
        },
    }
