"""JobSets for GKE: what a cluster accepts, for every size, and what may start again."""

import copy
import importlib.util
import itertools
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from jobset_schema import faults
from stand_ins import LAUNCH, StandIns

COMMAND = ["skinflow", "train", "--config=debug_sft", "--workdir=gs://b/run", "--resume"]


@pytest.fixture(scope="module")
def render():
    sys.path.insert(0, str(LAUNCH / "gke"))
    spec = importlib.util.spec_from_file_location("render", LAUNCH / "gke" / "render.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(LAUNCH / "gke"))


@pytest.fixture
def make(render):
    def make(*flags, command=COMMAND, kind="v6e-16"):
        args = render.parse([f"--type={kind}", "--image=r/i:1", *flags, "--", *command])
        return yaml.safe_load(render.as_yaml(render.manifest(args)))

    return make


def job_of(jobset):
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]


def pod_of(jobset):
    return job_of(jobset)["template"]["spec"]


OPTIONS = {
    "plain": [],
    "spot": ["--spot", "--spot-grace=60", "--data=gs://b/records"],
    "reserved": ["--reservation=r", "--queue=q", "--namespace=n", "--service-account=s"],
    "folder": ["--volume=claim:/mnt/runs", "--unprivileged", "--env=JAX_LOG_COMPILES=1"],
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_cluster_accepts_the_jobset_of_every_size(render, make, options):
    for kind, size in render.read_sizes().items():
        jobset = make(*options, kind=kind)
        assert faults(jobset) == []
        job, pod = job_of(jobset), pod_of(jobset)
        chips = pod["containers"][0]["resources"]["limits"]["google.com/tpu"]
        assert job["parallelism"] == job["completions"] == int(size["machines"])
        assert chips * job["completions"] == int(size["chips"])
        assert chips == int(size["machine"].rsplit("-", 1)[1].rstrip("t"))
        assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == size["topology"]


def test_the_selectors_are_those_of_gke(render):
    accelerators = {row["accelerator"] for row in render.read_sizes().values()}
    assert accelerators == {
        "tpu-v4-podslice",
        "tpu-v5-lite-podslice",
        "tpu-v5p-slice",
        "tpu-v6e-slice",
        "tpu7x",
    }


def outcome(job, code, disrupted=False):
    """What Kubernetes does with a job whose pod ends so: the first rule that fits counts."""
    for rule in job["podFailurePolicy"]["rules"]:
        if "onPodConditions" in rule:
            fits = disrupted
        else:
            codes = rule["onExitCodes"]
            fits = (code in codes["values"]) == (codes["operator"] == "In")
        if fits:
            return rule["action"]
    return "Count"


def test_only_42_and_kills_start_again(make):
    job = job_of(make())
    again = [code for code in range(1, 256) if outcome(job, code) == "Count"]
    assert again == [42, *range(127, 256)]


def test_a_pod_whose_node_goes_may_start_again_whatever_its_code(make):
    assert outcome(job_of(make()), 1, disrupted=True) == "Count"


def test_a_failure_that_would_come_again_ends_the_jobset(make):
    policy = make("--max-restarts=7")["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 7
    [rule] = policy["rules"]
    assert rule["action"] == "FailJobSet"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]


def test_python_is_process_1_and_has_longer_than_its_grace(make):
    pod = pod_of(make(command=[*COMMAND, "--grace=90"]))
    assert pod["containers"][0]["command"] == [*COMMAND, "--grace=90"]
    assert pod["terminationGracePeriodSeconds"] > 90
    assert pod_of(make())["terminationGracePeriodSeconds"] > 25
    assert pod_of(make(command=[*COMMAND, "--grace", "40s"]))["terminationGracePeriodSeconds"] > 40


def test_spot_nodes_take_a_run_that_saves_in_their_time(make):
    pod = pod_of(make("--spot", command=[*COMMAND, "--grace=12"]))
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert pod["tolerations"][0]["key"] == "cloud.google.com/gke-spot"


def test_all_pods_have_the_hosts_network_and_no_restart_of_their_own(make):
    jobset = make("--slices=2")
    job, pod = job_of(jobset), pod_of(jobset)
    assert jobset["spec"]["replicatedJobs"][0]["replicas"] == 2
    assert (pod["restartPolicy"], job["backoffLimit"]) == ("Never", 0)
    assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")


def test_data_lies_on_the_disk_before_the_run(make):
    pod = pod_of(make("--data=gs://b/records"))
    assert pod["initContainers"][0]["command"][-2:] == ["gs://b/records", "/data"]
    assert {"name": "data", "mountPath": "/data"} in pod["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(("fails", "code"), [(0, 0), (2, 0), (3, 42)])
def test_a_copy_that_fails_is_tried_again_and_then_starts_the_jobset_again(
    make, tmp_path, fails, code
):
    jobset = make("--data=gs://b/records")
    [copier] = pod_of(jobset)["initContainers"]
    answers = [["gcloud storage rsync", [{"code": 1}] * fails + [{}]]]
    machine = StandIns(tmp_path / "bin", "gcloud", "sleep", answers=answers)
    done = subprocess.run(copier["command"], env=machine.environment(), stdin=subprocess.DEVNULL)
    copies = [call for call in machine.calls() if call[0] == "gcloud"]
    words = ["gcloud", "storage", "rsync", "--recursive", "gs://b/records", "/data"]
    assert copies == [words] * min(fails + 1, 3)
    assert done.returncode == code
    assert code == 0 or outcome(job_of(jobset), code) == "Count"


def test_what_starts_again_under_cluster_toolkit_is_what_does_in_our_jobsets(render):
    [codes] = re.findall(r"--restart-on-exit-codes=(\S+)", (LAUNCH / "README.md").read_text())
    listed = {int(code) for code in codes.split(",")}
    # Of kills: JAX's abort, no memory, a segmentation fault, SIGTERM. Newer releases of it fail the
    # job for good on any other.
    assert listed >= {42, 134, 137, 139, 143}
    assert listed <= set(sys.modules["jobset"].START_AGAIN)


REFUSED = {
    "an unknown size": ([], COMMAND, "v6e-17", "v6e-16"),
    "a shell": ([], ["bash", "-c", "skinflow train"], "v6e-16", "SIGTERM"),
    "no resume": ([], COMMAND[:-1], "v6e-16", "--resume"),
    "no command": ([], [], "v6e-16", "no command"),
    "a workdir in the pod": (
        [],
        ["skinflow", "evaluate", "--workdir", "runs/x"],
        "v6e-16",
        "runs/x",
    ),
    "a long name": ([f"--name={'a' * 50}"], COMMAND, "v6e-16", "too long"),
    "a name with capitals": (["--name=Run"], COMMAND, "v6e-16", "small letters"),
    "slices of one machine": (["--slices=2"], COMMAND, "v6e-8", "several machines"),
    "a save longer than spot nodes wait": (["--spot"], COMMAND, "v6e-16", "--grace=12"),
    "stages likewise": (
        ["--spot"],
        ["launch/stages.sh", "--root=gs://b", "--", "--grace=20"],
        "v6e-16",
        "--grace=12",
    ),
    "a grace that is no number": ([], [*COMMAND, "--grace=soon"], "v6e-16", "--grace=soon"),
    "a shell after env": ([], ["env", "A=1", "bash", "-e", "-c", "x"], "v6e-16", "SIGTERM"),
    "no resume of a module": (
        [],
        ["python", "-m", "skinflow_jax", "train", "--workdir=gs://b/r"],
        "v6e-16",
        "--resume",
    ),
    "a long save after env": (["--spot"], ["env", "A=1", *COMMAND], "v6e-16", "--grace=12"),
    "no workdir": (
        [],
        ["skinflow", "train", "--config=debug_sft", "--resume"],
        "v6e-16",
        "--workdir",
    ),
    "stages without a root": ([], ["launch/stages.sh"], "v6e-16", "--root"),
    "a workdir in no bucket": ([], [*COMMAND, "--workdir=gs://"], "v6e-16", "--workdir=gs://"),
    "a workdir beside a volume": (
        ["--volume=c:/mnt"],
        [*COMMAND, "--workdir=/mntother/x"],
        "v6e-16",
        "/mntother/x",
    ),
    "a workdir out of a volume": (
        ["--volume=c:/mnt/a"],
        [*COMMAND, "--workdir=/mnt/a/../x"],
        "v6e-16",
        "../x",
    ),
}
FLAGS_REFUSED = {
    "--image=": "--image=",
    "--image=a b": "no image",
    "--env=BAD NAME=1": "BAD NAME",
    "--env=TPU_WORKER_ID=9": "TPU_WORKER_ID",
    "--env=MEGASCALE_NUM_SLICES=2": "MEGASCALE_NUM_SLICES",
    "--env=JOB_COMPLETION_INDEX=2": "JOB_COMPLETION_INDEX",
    "--env=PYTHONUNBUFFERED=0": "PYTHONUNBUFFERED",
    "--env=A=1 --env=A=2": "twice",
    "--volume=c:relative": "absolute",
    "--volume=c:/": "absolute",
    "--volume=c:/mnt/../usr": "absolute",
    "--volume=c:/usr": "taken",
    "--volume=C_:/mnt": "claim",
    "--volume=c:/mnt --volume=d:/mnt/": "taken",
    "--data=gs://b/d --volume=c:/data": "taken",
    "--data=/local": "gs://",
    "--data=": "gs://",
    "--data=gs://": "gs://BUCKET",
    "--namespace=": "--namespace=",
    "--namespace=A b": "A b",
    "--queue=Q": "--queue=Q",
    "--service-account=": "--service-account=",
    "--spot --spot-grace=60 --reservation=r": "exclude",
    "--slices=2000": "256",
    "--max-restarts=99999999999": "--max-restarts",
    "--no-such=1": "--no-such=1",
}


@pytest.mark.parametrize(("flags", "said"), FLAGS_REFUSED.items(), ids=FLAGS_REFUSED)
def test_a_flag_that_a_cluster_or_a_run_would_refuse_is_one_line(render, make, flags, said):
    with pytest.raises(render.Refused) as error:
        make(*re.split(" (?=--)", flags))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_workdir_in_a_volume_lasts(make):
    command = [*COMMAND, "--workdir=/mnt/runs/x"]
    assert faults(make("--volume=my.claim:/mnt/runs/", command=command)) == []


@pytest.mark.parametrize(("flags", "command", "kind", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_run_is_refused_in_one_line(render, make, flags, command, kind, said):
    with pytest.raises(render.Refused) as error:
        make(*flags, command=command, kind=kind)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def mutations():
    """(what, change) of changes that a cluster refuses: the check above must be able to fail."""
    never = {"restartPolicy": "OnFailure"}
    yield "a restart policy beside podFailurePolicy", lambda j: pod_of(j).update(never)
    yield "no restart policy", lambda j: pod_of(j).pop("restartPolicy")
    yield "an unknown field", lambda j: pod_of(j).update(gracePeriod=3)
    yield "a count as text", lambda j: job_of(j).update(backoffLimit="0")
    yield "a flag as a number", lambda j: pod_of(j).update(hostNetwork=1)
    yield "no completions", lambda j: job_of(j).pop("completions")
    yield "a selector that is no text", lambda j: pod_of(j)["nodeSelector"].update(spot=True)
    yield "a rule without a name", lambda j: j["spec"]["failurePolicy"]["rules"][0].pop("name")
    yield (
        "a reason that does not exist",
        lambda j: j["spec"]["failurePolicy"]["rules"][0].update(onJobFailureReasons=["PodFailed"]),
    )
    yield "a name with an underscore", lambda j: j["metadata"].update(name="a_b")
    yield "a name too long for its pods", lambda j: j["metadata"].update(name="a" * 55)
    yield "a mount of nothing", lambda j: pod_of(j).update(volumes=[])

    def codes(j):
        return job_of(j)["podFailurePolicy"]["rules"][1]["onExitCodes"]

    yield "codes out of order", lambda j: codes(j).update(values=[127, 42])
    yield "a code twice", lambda j: codes(j).update(values=[42, 42])
    yield "no codes", lambda j: codes(j).update(values=[])
    yield "0 among codes of In", lambda j: codes(j).update(operator="In", values=[0, 42])
    yield "a container that is not there", lambda j: codes(j).update(containerName="main")
    condition = {"type": "DisruptionTarget", "status": "True"}
    yield (
        "codes and conditions in one rule",
        lambda j: job_of(j)["podFailurePolicy"]["rules"][1].update(onPodConditions=[condition]),
    )


@pytest.mark.parametrize("change", [pytest.param(c, id=what) for what, c in mutations()])
def test_the_check_of_jobsets_sees(make, change):
    jobset = copy.deepcopy(make())
    change(jobset)
    assert faults(jobset)


SUBMIT = ["--type=v6e-16", "--image=r/i:1", "--name=run", "--", *COMMAND]
NOT_FOUND = {"err": 'Error from server (NotFound): jobsets "run" not found\n', "code": 1}


def kubectl(tmp_path, *answers):
    return StandIns(tmp_path / "bin", "kubectl", answers=answers)


def test_submit_creates_the_rendered_jobset(tmp_path):
    cluster = kubectl(tmp_path, ["get jobset run", [NOT_FOUND]])
    done = cluster.run("gke/submit.sh", *SUBMIT)
    assert done.returncode == 0, done.stderr
    assert cluster.calls()[-1] == ["kubectl", "create", "--filename=-"]
    assert faults(yaml.safe_load(cluster.inputs()[-1])) == []


def test_submit_leaves_a_run_alone_that_runs(tmp_path):
    cluster = kubectl(tmp_path, ["get jobset run", [{"out": ""}]])
    done = cluster.run("gke/submit.sh", *SUBMIT)
    assert done.returncode == 2
    assert "runs already" in done.stderr
    assert not [call for call in cluster.calls() if "create" in call or "delete" in call]


@pytest.mark.parametrize("state", ["Failed", "Completed"])
def test_submit_replaces_an_ended_run(tmp_path, state):
    cluster = kubectl(tmp_path, ["get jobset run", [{"out": state}]])
    assert cluster.run("gke/submit.sh", *SUBMIT).returncode == 0
    assert [call[1] for call in cluster.calls()[-2:]] == ["delete", "create"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"err": "Error from server (NotFound): crds not found\n", "code": 1}, "no JobSet"),
        ({"err": "couldn't get server: no route to host\n", "code": 1}, "get-credentials"),
    ],
)
def test_submit_says_what_is_missing(tmp_path, answer, said):
    cluster = kubectl(tmp_path, ["get crd", [answer]])
    done = cluster.run("gke/submit.sh", *SUBMIT)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--namesp=prod", *SUBMIT], "--namesp=prod"),
        (["--namespace=A b", *SUBMIT], "--namespace=A b"),
        (["--namespace=", *SUBMIT], "leave it out"),
        (["--delete", "--namesp=prod"], "--namesp=prod"),
        (["--delete", "--name="], "--name="),
        (["--status", "--delete"], "one of them"),
    ],
)
def test_a_namespace_that_is_not_understood_touches_no_run(tmp_path, arguments, said):
    cluster = kubectl(tmp_path, ["get jobset run", [{"out": "Failed"}]])
    done = cluster.run("gke/submit.sh", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not [call for call in cluster.calls() if "delete" in call or "create" in call]


def test_without_a_python_it_says_so(tmp_path):
    done = kubectl(tmp_path).run("gke/submit.sh", "--dry-run", *SUBMIT, PYTHON="no-such-python")
    assert done.returncode == 2
    assert done.stderr.startswith("submit.sh: 'no-such-python' is not there")
    assert len(done.stderr.splitlines()) == 1


def test_submit_refuses_before_it_asks_for_a_run(tmp_path):
    cluster = kubectl(tmp_path)
    done = cluster.run("gke/submit.sh", "--type=v9-1", "--image=i", "--", *COMMAND)
    assert done.returncode == 2
    assert done.stderr.startswith("render.py: there is no slice")
    assert not [call for call in cluster.calls() if "create" in call]


def test_a_dry_run_prints_the_manifest_and_calls_nothing(tmp_path):
    cluster = kubectl(tmp_path)
    done = cluster.run("gke/submit.sh", "--dry-run", *SUBMIT)
    first, *manifest, last = done.stdout.splitlines()
    assert (first, last) == ('kubectl create --filename=- <<"EOF"', "EOF")
    assert faults(yaml.safe_load("\n".join(manifest))) == []
    assert cluster.calls() == []


@pytest.mark.parametrize("verb", ["status", "logs", "delete"])
def test_each_verb_says_the_same_dry_as_it_does(tmp_path, verb):
    cluster = kubectl(tmp_path)
    arguments = [f"--{verb}", "--name=run", "--namespace=n"]
    dry = cluster.run("gke/submit.sh", *arguments, "--dry-run")
    assert cluster.calls() == []
    assert cluster.run("gke/submit.sh", *arguments).returncode == 0
    asked = [call for call in cluster.calls() if "crd" not in call]
    assert [shlex.split(line) for line in dry.stdout.splitlines()] == asked
    assert all("--namespace=n" in call for call in asked)


def test_logs_are_those_of_all_pods_with_their_names(tmp_path):
    cluster = kubectl(tmp_path)
    assert cluster.run("gke/submit.sh", "--logs", "--name=run").returncode == 0
    call = cluster.calls()[-1]
    # Process 0, which prints, may be any of them.
    assert "--selector=jobset.sigs.k8s.io/jobset-name=run" in call
    # More than kubectl's five, and more than its last ten lines.
    assert {"--prefix", "--max-log-requests=1000", "--tail=1000"} <= set(call)


def test_the_image_has_all_that_its_pods_need():
    lines = (LAUNCH / "gke" / "Dockerfile").read_text().splitlines()
    joined = [part.split() for part in lines if part.startswith(("COPY", "CMD", "ENTRYPOINT"))]
    copied = set(itertools.chain.from_iterable(words[1:-1] for words in joined[:-1]))
    root = LAUNCH.parent
    assert {"skinflow_jax", "configs", "launch", "requirements-tpu.txt"} <= copied
    assert all((root / name).exists() for name in copied)
    # In the exec form: a shell would stay process 1.
    assert joined[-1][1].startswith("[")
    assert not [words for words in joined if words[0] == "ENTRYPOINT"]
