"""What would fail on the cluster, or be lost there, is refused here in one line."""

import argparse
import itertools
import posixpath
import re
from pathlib import PurePosixPath

from jobset import JOB

# What `skinflow train` takes where it is not told.
GRACE = 25.0
# More than any run on several slices that Google has told of.
MAX_SLICES = 256
BUCKET = re.compile(r"gs://[^/\s]+(/.*)?")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# Kubernetes' names of accounts and claims: labels with dots between them.
NAME = re.compile(rf"{LABEL.pattern}(\.{LABEL.pattern})*")
# What GKE, JobSet and our manifest set in each pod, and what would name another cluster.
SET_IN_THE_POD = re.compile(
    r"TPU_(WORKER|PROCESS|SKIP|CHIPS|HOST|VISIBLE|ACCELERATOR|TOPOLOGY|NAME|RUNTIME)\w*"
    r"|MEGASCALE_(COORDINATOR_ADDRESS|NUM_SLICES|SLICE_ID|PORT)"
    r"|JAX_(COORDINATOR|PROCESS|NUM_PROCESSES)\w*|(CLOUD_TPU|SLURM|OMPI|KUBERNETES|JOBSET)_\w+"
    r"|JOB_COMPLETION_INDEX|PYTHONUNBUFFERED|HOSTNAME"
)
SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr")


class Refused(Exception):
    """What the person wrote cannot be run; the message says why and what to write."""


def check_name(name: str, slices: int, machines: int) -> None:
    """Kubernetes' rules for the name, from which those of jobs, pods and hosts are made."""
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        raise Refused(f"--name={name}: use small letters, digits and -, a letter first")
    pod = f"{name}-{JOB}-{slices - 1}-{machines - 1}-abcde"
    if len(pod) > 63:
        raise Refused(f"--name={name} is too long by {len(pod) - 63}: pods' names have 63 letters")


def check_places(args: argparse.Namespace) -> None:
    """Image, nodes, namespace, data and volumes: what is given is something that can exist."""
    if not re.fullmatch(r"[\w.:/@-]+", args.image):
        raise Refused(f"--image={args.image} is no image: REGISTRY/PATH:TAG")
    if args.spot and args.reservation:
        raise Refused("--spot and --reservation exclude each other")
    for flag, rule in {
        "namespace": LABEL,
        "reservation": NAME,
        "queue": NAME,
        "service_account": NAME,
    }.items():
        given = getattr(args, flag)
        if given is not None and not rule.fullmatch(given):
            flag = flag.replace("_", "-")
            raise Refused(f"--{flag}={given}: use small letters, digits and -, or leave it out")
    if args.data is not None and not BUCKET.fullmatch(args.data):
        raise Refused(f"--data={args.data}: each machine copies it from gs://BUCKET/PATH")
    check_volumes(args.volume, ["/dev/shm"] + ["/data"] * (args.data is not None))


def check_volumes(volumes: list[tuple[str, str]], taken: list[str]) -> None:
    """Claims by their names, at paths that hide nothing of the image and not one another."""
    for claim, path in volumes:
        given = f"--volume={claim}:{path}"
        if not NAME.fullmatch(claim):
            raise Refused(f"{given}: a claim's name has small letters, digits and -")
        if not re.fullmatch(r"/[^:]+", path) or posixpath.normpath(path) != path.rstrip("/"):
            raise Refused(f"{given}: the path is absolute and not /, such as /mnt/runs")
        if path.split("/")[1] in SYSTEM or path.rstrip("/") in taken:
            raise Refused(f"{given}: the path is taken; give one such as /mnt/runs")
        taken.append(path.rstrip("/"))


def check_env(pairs: list[tuple[str, str]]) -> None:
    """Names of variables, once each, that the pod does not get from elsewhere."""
    names = [name for name, _ in pairs]
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Refused(f"--env={name}=...: a name has letters, digits and _")
        if SET_IN_THE_POD.fullmatch(name):
            raise Refused(f"--env={name}=...: it is set in each pod already: leave it out")
        if names.count(name) > 1:
            raise Refused(f"--env={name}=... is given twice")


def check_command(command: list[str], lasting: list[str]) -> None:
    """A command that a restart can repeat, in a workdir that outlives the pod."""
    if not command:
        raise Refused("no command: -- skinflow train --config=NAME --workdir=gs://... --resume")
    if starts_shell(command):
        raise Refused("a shell as process 1 keeps SIGTERM from Python: give the command itself")
    if trains(command) and "--resume" not in command:
        raise Refused("after a restart `skinflow train` must find its workdir: add --resume")
    for needed, flag in ((trains(command), "--workdir"), (runs_stages(command), "--root")):
        if needed and not values(command, flag):
            raise Refused(f"the command has no {flag}: give {flag}=gs://BUCKET/PATH")
        for folder in values(command, flag):
            if not BUCKET.fullmatch(folder) and not is_within(folder, lasting):
                raise Refused(f"{flag}={folder} ends with the pod: use gs:// or a --volume")


def is_within(folder: str, paths: list[str]) -> bool:
    """Whether the folder is one of the paths or lies in one."""
    return any(PurePosixPath(posixpath.normpath(folder)).is_relative_to(path) for path in paths)


def starts_shell(command: list[str]) -> bool:
    """Whether a shell gets a program as text, also after others: env A=1 bash -ec TEXT."""
    for i, word in enumerate(command):
        if PurePosixPath(word).name in ("sh", "bash", "dash", "zsh"):
            options = itertools.takewhile(lambda text: text.startswith("-"), command[i + 1 :])
            return any(re.fullmatch(r"-\w*c", option) for option in options)
    return False


def trains(command: list[str]) -> bool:
    """Whether it is `skinflow train`, by whatever it is started: env, nice, python -m, a path."""
    for before, word, following in zip(["", *command], command, command[1:], strict=False):
        ours = (before, word) == ("-m", "skinflow_jax") or PurePosixPath(word).name == "skinflow"
        if ours and following == "train":
            return True
    return False


def runs_stages(command: list[str]) -> bool:
    """Whether it is launch/stages.sh, by whatever it is started."""
    return any(PurePosixPath(word).name == "stages.sh" for word in command)


def values(command: list[str], flag: str) -> list[str]:
    """What a command gives for a flag, as --flag=VALUE or --flag VALUE."""
    joined = [word.partition("=")[2] for word in command if word.startswith(f"{flag}=")]
    apart = [value for word, value in itertools.pairwise(command) if word == flag]
    return joined + apart


def grace_of(command: list[str]) -> float:
    """Seconds that the command may take from SIGTERM to its end."""
    given = values(command, "--grace")
    if not given:
        return GRACE
    if not re.fullmatch(r"\d+(\.\d+)?s?", given[-1]):
        raise Refused(f"--grace={given[-1]} is not a number of seconds")
    return float(given[-1].removesuffix("s"))


def check_spot(args: argparse.Namespace) -> None:
    """A run on spot nodes whose save fits into the seconds that they leave it."""
    saves = trains(args.command) or runs_stages(args.command)
    if args.spot and saves and args.grace > args.spot_grace:
        raise Refused(
            f"GKE leaves a pod {args.spot_grace} s when a spot node goes: add "
            f"--grace={max(args.spot_grace - 3, 1)} to the command, or say by --spot-grace what "
            "the node pool is set to"
        )
