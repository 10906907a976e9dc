"""What a cluster accepts as a JobSet: the fields' types, and the rules of the API servers.

Types: the published definition of jobset.x-k8s.io/v1alpha2 (config/components/crd of JobSet), as
far as the renderer may use it; an unknown field is a fault, as in kubectl's strict validation.
Rules: JobSet's admission webhook (pkg/webhooks) and Kubernetes' validation of batch/v1 and pods.
"""

import re

COUNT = range(1, 2**31)
OPTIONAL = range(2**31)
STRINGS = {"*": str}
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
RULE_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
REASONS = {
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
}

# A dict gives the fields, those with ! required; a list its items; a set the values; a range whole
# numbers in it.
MOUNT = {"name!": str, "mountPath!": str, "readOnly": bool}
CONTAINER = {
    "name!": DNS_1035,
    "image!": str,
    "command": [str],
    "env": [{"name!": re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*"), "value": str}],
    "ports": [{"containerPort!": range(1, 65536)}],
    "securityContext": {"privileged": bool},
    "resources": {"limits": {"*": int}},
    "volumeMounts": [MOUNT],
}
POD = {
    "restartPolicy": {"Never", "OnFailure", "Always"},
    "terminationGracePeriodSeconds": OPTIONAL,
    "nodeSelector": {"*": LABEL},
    "hostNetwork": bool,
    "dnsPolicy": {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"},
    "containers!": [CONTAINER],
    "initContainers": [CONTAINER],
    "volumes": [
        {
            "name!": DNS_1035,
            "emptyDir": {"medium": {"", "Memory"}},
            "persistentVolumeClaim": {"claimName!": str},
        }
    ],
    "serviceAccountName": str,
    "tolerations": [
        {
            "key": str,
            "operator": {"Equal", "Exists"},
            "value": str,
            "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"},
        }
    ],
}
FAILURE_RULE = {
    "action!": {"FailJob", "FailIndex", "Ignore", "Count"},
    "onExitCodes": {"containerName": str, "operator!": {"In", "NotIn"}, "values!": [OPTIONAL]},
    "onPodConditions": [{"type!": str, "status!": {"True", "False", "Unknown"}}],
}
JOB = {
    "completionMode": {"Indexed", "NonIndexed"},
    "parallelism": OPTIONAL,
    "completions": OPTIONAL,
    "backoffLimit": OPTIONAL,
    "podFailurePolicy": {"rules!": [FAILURE_RULE]},
    "template!": {"spec!": POD},
}
JOBSET = {
    "apiVersion!": {"jobset.x-k8s.io/v1alpha2"},
    "kind!": {"JobSet"},
    "metadata!": {
        "name!": DNS_1035,
        "namespace": DNS_1035,
        "annotations": STRINGS,
        "labels": {"*": LABEL},
    },
    "spec!": {
        "failurePolicy": {
            "maxRestarts": OPTIONAL,
            "rules": [
                {
                    "name!": RULE_NAME,
                    "action!": {
                        "FailJobSet",
                        "RestartJobSet",
                        "RestartJobSetAndIgnoreMaxRestarts",
                    },
                    "onJobFailureReasons": [REASONS],
                }
            ],
        },
        "replicatedJobs": [
            {"name!": DNS_1035, "replicas": OPTIONAL, "template!": {"spec!": JOB}},
        ],
    },
}


def faults(jobset) -> list[str]:
    """What a cluster would refuse, one line each with the field's path; empty for a good JobSet."""
    found = list(_type_faults(jobset, JOBSET, "jobset"))
    return found or [*_jobset_faults(jobset)]


def _type_faults(value, schema, path):
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            yield f"{path}: not an object"
            return
        known = {name.rstrip("!"): part for name, part in schema.items()}
        for name, part in value.items():
            if name not in known and "*" not in known:
                yield f"{path}.{name}: unknown field"
            else:
                yield from _type_faults(part, known.get(name, known.get("*")), f"{path}.{name}")
        for name in schema:
            if name.endswith("!") and name[:-1] not in value:
                yield f"{path}.{name[:-1]}: required"
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield f"{path}: not an array"
            return
        for i, item in enumerate(value):
            yield from _type_faults(item, schema[0], f"{path}[{i}]")
    elif isinstance(schema, type):
        if type(value) is not schema:
            yield f"{path}: {value!r} is not of type {schema.__name__}"
    elif isinstance(schema, re.Pattern):
        if not (isinstance(value, str) and schema.fullmatch(value) and len(value) <= 63):
            yield f"{path}: {value!r} does not match {schema.pattern}"
    elif type(value) is not (int if isinstance(schema, range) else str) or value not in schema:
        yield f"{path}: {value!r} is not allowed"


def _jobset_faults(jobset):
    name, spec = jobset["metadata"]["name"], jobset["spec"]
    jobs = spec.get("replicatedJobs", [])
    if len({job["name"] for job in jobs}) != len(jobs):
        yield "replicatedJobs: names must differ"
    for job in jobs:
        replicas, body = job.get("replicas", 1), job["template"]["spec"]
        # Job index and, in Indexed jobs, completion index and five random characters.
        pod = f"{name}-{job['name']}-{replicas - 1}"
        if body.get("completionMode", "Indexed") == "Indexed":
            pod += f"-{body.get('completions', 1) - 1}-abcde"
        if len(pod) > 63:
            yield "metadata.name: pod names generated for this JobSet will exceed 63 characters"
        yield from _job_faults(body)


def _job_faults(job):
    pod = job["template"]["spec"]
    if job.get("completionMode") == "Indexed" and "completions" not in job:
        yield "completions: required where completionMode is Indexed"
    restart = pod.get("restartPolicy", "Always")
    if restart == "Always":
        yield "restartPolicy: a job takes Never and OnFailure"
    if "podFailurePolicy" in job:
        if restart != "Never":
            yield "restartPolicy: only Never goes with podFailurePolicy"
        yield from _policy_faults(job, pod)
    yield from _pod_faults(pod)


def _policy_faults(job, pod):
    rules = job["podFailurePolicy"]["rules"]
    names = {c["name"] for c in pod["containers"] + pod.get("initContainers", [])}
    if len(rules) > 20:
        yield "podFailurePolicy.rules: at most 20"
    for i, rule in enumerate(rules):
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if bool(codes) == bool(conditions):
            yield f"rules[{i}]: one of onExitCodes and onPodConditions"
        if rule["action"] == "FailIndex" and "backoffLimitPerIndex" not in job:
            yield f"rules[{i}].action: FailIndex requires backoffLimitPerIndex"
        if not codes:
            continue
        if codes.get("containerName", next(iter(names))) not in names:
            yield f"rules[{i}].containerName: not a container of the pod"
        values = codes["values"]
        if not 0 < len(values) <= 255:
            yield f"rules[{i}].values: between 1 and 255 of them"
        if sorted(set(values)) != values:
            yield f"rules[{i}].values: must be ordered, without duplicates"
        if codes["operator"] == "In" and 0 in values:
            yield f"rules[{i}].values: 0 does not go with In"


def _pod_faults(pod):
    containers = pod["containers"] + pod.get("initContainers", [])
    if not pod["containers"]:
        yield "containers: at least one"
    if len({c["name"] for c in containers}) != len(containers):
        yield "containers: names must differ"
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    if len(volumes) != len(pod.get("volumes", [])):
        yield "volumes: names must differ"
    for name, volume in volumes.items():
        if len(volume) != 2:
            yield f"volumes.{name}: exactly one source"
    for container in containers:
        mounts = container.get("volumeMounts", [])
        for mount in mounts:
            if mount["name"] not in volumes:
                yield f"{container['name']}: no volume {mount['name']}"
        paths = [mount["mountPath"] for mount in mounts]
        if len(set(paths)) != len(paths):
            yield f"{container['name']}: mount paths must differ"
    for toleration in pod.get("tolerations", []):
        if toleration.get("operator") == "Exists" and toleration.get("value"):
            yield "tolerations: Exists takes no value"
