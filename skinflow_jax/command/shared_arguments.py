"""Arguments that several commands have."""

import argparse

from skinflow_jax.command.values import count, here, positive, programs, seconds


def add_ontology(parser: argparse.ArgumentParser) -> None:
    """A file of diseases, of commands without a config."""
    parser.add_argument(
        "--ontology",
        type=here,
        metavar="FILE",
        help="CSV of diseases in place of ours; +FILE adds its rows to ours",
    )


def add_endpoint(parser: argparse.ArgumentParser, role: str) -> None:
    """Where a language model answers, and how much may be asked; `role`: what the model does."""
    parser.add_argument(
        "--base-url", required=True, metavar="URL", help="of an OpenAI-compatible endpoint: …/v1"
    )
    parser.add_argument("--model", required=True, metavar="NAME", help=role)
    parser.add_argument(
        "--key-variable",
        metavar="NAME",
        help="environment variable that holds the key; default: OPENAI_API_KEY, where it is set",
    )
    parser.add_argument(
        "--concurrency", type=positive, default=8, metavar="N", help="cases at a time; default: 8"
    )
    parser.add_argument("--max-calls", type=positive, metavar="N", help="of the folder, in all")
    parser.add_argument("--max-tokens", type=positive, metavar="N", help="of the folder, in all")
    parser.add_argument(
        "--requests-per-minute", type=positive, metavar="N", help="at most; default: no limit"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=120.0, metavar="SECONDS", help="of a call; default: 120"
    )


def add_config(parser: argparse.ArgumentParser, text: str) -> None:
    """The config and what is given beside it; `text` says which is meant."""
    parser.add_argument("--config", type=here, metavar="FILE", help=text)
    parser.add_argument(
        "--split-by", type=here, metavar="LISTS", help="the same as --config.data.split_by"
    )
    parser.epilog = "Any value of the config can be given: --config.rl.group_size=16"


def add_dtype(parser: argparse.ArgumentParser, default: str) -> None:
    """Of weights and activations; `default` says what is meant without it."""
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help=f"type of weights and activations; {default}. bfloat16 takes half the memory",
    )


def add_records(parser: argparse.ArgumentParser) -> None:
    """Records that are built already."""
    parser.add_argument(
        "--records", type=here, help="records by `skinflow data build`; default: in the workdir"
    )


def add_compilation_cache(parser: argparse.ArgumentParser) -> None:
    """Where compiled programs lie."""
    parser.add_argument(
        "--compilation-cache",
        type=programs,
        metavar="DIR|off",
        help="where compiled programs are kept for later starts, gs:// too; default: the user's "
        "cache folder. On several machines name one that all see: one process alone writes to it",
    )


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Of a command that may be started in several processes."""
    several = parser.add_argument_group("on several processes, each started with the same command")
    several.add_argument(
        "--cluster",
        choices=("auto", "none", "gke-tpu", "cloud-tpu", "slurm", "openmpi"),
        default="auto",
        metavar="KIND",
        help="what started them: gke-tpu, cloud-tpu, slurm, openmpi, none, or auto (the default): "
        "what the environment says",
    )
    several.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    several.add_argument("--processes", type=positive, metavar="N", help="how many")
    several.add_argument("--process", type=count, metavar="I", help="which this is, from 0")
    several.add_argument(
        "--start-timeout",
        type=positive,
        default=300,
        metavar="SECONDS",
        help="in which all must have come; default: 300",
    )
