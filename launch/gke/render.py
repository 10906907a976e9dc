#!/usr/bin/env python3
"""The JobSet of a run on GKE, as YAML on standard output.

launch/gke/render.py --type=v6e-16 --image=IMAGE -- \
    skinflow train --config=skinflow_7b_stage1 --workdir=gs://BUCKET/stage1 --resume

`submit.sh` takes the same arguments and hands it to the cluster. Only pyyaml is needed here.
"""

import argparse
import itertools
import re
import sys
from pathlib import Path

from jobset import JOB, jobset

SIZES = Path(__file__).resolve().parent.parent / "tpu_sizes.tsv"
# What `skinflow train` takes where it is not told.
GRACE = 25.0
# Of the 30 seconds of a spot node the last 15 are the system's, unless its pool is set otherwise.
SPOT_GRACE = 15


class Refused(Exception):
    """What the person wrote cannot be run; the message says why and what to write."""


def read_sizes(path: Path = SIZES) -> dict[str, dict[str, str]]:
    """The rows of the table of slices by type, each by column."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    header, *rows = (line.split("\t") for line in lines)
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def size_of(kind: str) -> dict[str, str]:
    """The row of a slice's type; raises Refused with those of its generation."""
    sizes = read_sizes()
    kind = re.sub(r"^v5e-", "v5litepod-", re.sub(r"^v?7x-", "tpu7x-", kind))
    if kind not in sizes:
        like = [name for name in sizes if name.split("-")[0] == kind.split("-")[0]]
        raise Refused(f"there is no slice {kind!r}; there are: {' '.join(like or sizes)}")
    return sizes[kind]


def check_name(name: str, slices: int, machines: int) -> None:
    """Kubernetes' rules for the name, from which those of jobs, pods and hosts are made."""
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        raise Refused(f"--name={name}: use small letters, digits and -, a letter first")
    pod = f"{name}-{JOB}-{slices - 1}-{machines - 1}-abcde"
    if len(pod) > 63:
        raise Refused(f"--name={name} is too long by {len(pod) - 63}: pods' names have 63 letters")


def check_command(command: list[str], lasting: list[str]) -> None:
    """A command that a restart can repeat, in a workdir that outlives the pod."""
    if not command:
        raise Refused("no command: -- skinflow train --config=NAME --workdir=gs://... --resume")
    if Path(command[0]).name in ("sh", "bash", "dash") and "-c" in command[1:2]:
        raise Refused("a shell as process 1 keeps SIGTERM from Python: give the command itself")
    if command[:2] == ["skinflow", "train"] and "--resume" not in command:
        raise Refused("after a restart `skinflow train` must find its workdir: add --resume")
    for flag in ("--workdir", "--root"):
        for folder in values(command, flag):
            if not folder.startswith(("gs://", *lasting)):
                raise Refused(f"{flag}={folder} ends with the pod: use gs:// or a --volume")


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
    trains = args.command[:2] == ["skinflow", "train"] or "stages.sh" in args.command[0]
    if args.spot and trains and args.grace > args.spot_grace:
        raise Refused(
            f"GKE leaves a pod {args.spot_grace} s when a spot node goes: add "
            f"--grace={max(args.spot_grace - 3, 1)} to the command, or say by --spot-grace what "
            "the node pool is set to"
        )


def pair(separator: str):
    """A parser of LEFT<separator>RIGHT."""

    def parse(text: str) -> tuple[str, str]:
        left, found, right = text.partition(separator)
        if not (left and found and right):
            raise argparse.ArgumentTypeError(f"{text!r} is not LEFT{separator}RIGHT")
        return left, right

    return parse


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments; what stands after -- is the command."""
    end = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(
        "render.py", usage="%(prog)s --type=TYPE --image=IMAGE [options] -- skinflow train ..."
    )
    add = parser.add_argument
    add("--type", required=True, help="slice, as in launch/tpu_sizes.tsv: v6e-16")
    add("--image", required=True, help="made from launch/gke/Dockerfile")
    add("--name", default="skinflow", help="of the JobSet; default: skinflow")
    add("--slices", type=positive, default=1, help="slices that train together; default: 1")
    add("--max-restarts", type=positive, default=50, help="after code 42 or a kill; default: 50")
    add("--data", help="gs:// folder that each machine copies to /data before the run")
    add(
        "--volume",
        type=pair(":"),
        action="append",
        default=[],
        metavar="CLAIM:PATH",
        help="a persistent volume claim that all machines can write, for a workdir outside gs://",
    )
    add("--env", type=pair("="), action="append", default=[], metavar="NAME=VALUE")
    add("--spot", action="store_true", help="on spot nodes")
    add(
        "--spot-grace",
        type=positive,
        default=SPOT_GRACE,
        metavar="SECONDS",
        help="what their node pool leaves a pod; default: 15, as GKE makes it",
    )
    add("--reservation", help="on nodes of this reservation")
    add("--queue", help="Kueue's LocalQueue")
    add("--namespace", help="default: kubectl's")
    add("--service-account", help="Kubernetes service account of the pods")
    add("--unprivileged", action="store_true", help="for clusters that refuse privileged pods")
    args = parser.parse_args(argv[:end])
    args.command = argv[end + 1 :]
    return args


def manifest(args: argparse.Namespace) -> dict:
    """The JobSet of the arguments; raises Refused for what cannot be run."""
    size = size_of(args.type)
    machines = int(size["machines"])
    check_name(args.name, args.slices, machines)
    check_command(args.command, [path for _, path in args.volume])
    if args.slices > 1 and machines == 1:
        raise Refused(f"--slices={args.slices}: GKE joins only slices of several machines")
    args.grace = grace_of(args.command)
    check_spot(args)
    return jobset(size, args)


def as_yaml(document: dict) -> str:
    """Lists of numbers in one line, nothing as an alias."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True

        def represent_list(self, items):
            inline = all(isinstance(item, int) for item in items)
            return self.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=inline)

    Dumper.add_representer(list, Dumper.represent_list)
    return yaml.dump(document, None, Dumper, sort_keys=False, width=1000)


def main() -> int:
    """Print the JobSet, or one line of what is wrong with the arguments; 2 then."""
    try:
        print(as_yaml(manifest(parse(sys.argv[1:]))), end="")
    except Refused as error:
        print(f"render.py: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"render.py: {error.name} is missing: pip install pyyaml", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
