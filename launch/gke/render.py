#!/usr/bin/env python3
"""The JobSet of a run on GKE, as YAML on standard output.

launch/gke/render.py --type=v6e-16 --image=IMAGE -- \
    skinflow train --config=skinflow_7b_stage1 --workdir=gs://BUCKET/stage1 --resume

`submit.sh` takes the same arguments and hands it to the cluster. Only pyyaml is needed here.
"""

import argparse
import re
import sys
from pathlib import Path

from checks import (
    MAX_SLICES,
    Refused,
    check_command,
    check_env,
    check_name,
    check_places,
    check_spot,
    grace_of,
)
from jobset import jobset

SIZES = Path(__file__).resolve().parent.parent / "tpu_sizes.tsv"
# Of the 30 seconds of a spot node the last 15 are the system's, unless its pool is set otherwise.
SPOT_GRACE = 15


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


def pair(separator: str):
    """A parser of LEFT<separator>RIGHT."""

    def parse(text: str) -> tuple[str, str]:
        left, found, right = text.partition(separator)
        if not (left and found and right):
            raise argparse.ArgumentTypeError(f"{text!r} is not LEFT{separator}RIGHT")
        return left, right

    return parse


def whole(text: str, most: int = 10**6) -> int:
    """A whole number from 1 to `most`."""
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
    return int(text)


def slices(text: str) -> int:
    """A number of slices."""
    return whole(text, MAX_SLICES)


class Parser(argparse.ArgumentParser):
    """No abbreviations, which `submit.sh` would not see; an error is one line."""

    def __init__(self, *words, **options):
        super().__init__(*words, allow_abbrev=False, **options)

    def error(self, message):
        """Raises Refused."""
        raise Refused(f"{message}; see --help")


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments; what stands after -- is the command."""
    end = argv.index("--") if "--" in argv else len(argv)
    parser = Parser(
        "render.py", usage="%(prog)s --type=TYPE --image=IMAGE [options] -- skinflow train ..."
    )
    add = parser.add_argument
    add("--type", required=True, help="slice, as in launch/tpu_sizes.tsv: v6e-16")
    add("--image", required=True, help="made from launch/gke/Dockerfile")
    add("--name", default="skinflow", help="of the JobSet; default: skinflow")
    add("--slices", type=slices, default=1, help="that train together, to 256; default: 1")
    add("--max-restarts", type=whole, default=50, help="after code 42 or a kill; default: 50")
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
        type=whole,
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
    check_places(args)
    check_env(args.env)
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
