"""The grammar of the command line: its commands and arguments, and what is wrong with one."""

import argparse
import difflib
import importlib.metadata
import re
from pathlib import Path

from skinflow_jax.command.evaluate_arguments import add_evaluate, settle_evaluate
from skinflow_jax.command.report_arguments import add_report
from skinflow_jax.command.shared_arguments import (
    add_compilation_cache,
    add_config,
    add_dtype,
    add_endpoint,
    add_ontology,
    add_processes,
    add_records,
)
from skinflow_jax.command.values import (
    bucket_too,
    here,
    positive,
    seconds,
    seeds,
    size,
)
from skinflow_jax.config_files.shipped import CONFIGS
from skinflow_jax.errors import ConfigError

_DISCLAIMER = "Research software: not a medical device, not for diagnosis or treatment."

# Of data.row_forms, data.tasks and runs.rollouts_view, which are too slow to import for --help.
_FORMS = ("trl", "easyr1", "verl", "openrlhf", "ms-swift", "llama-factory", "vlm-r1")
_TASKS = ("caption", "diagnosis", "question")
_ORDERS = ("advantage", "reward", "length")


class _Parser(argparse.ArgumentParser):
    """Raises its errors as ConfigError, so that all wrong command lines look the same."""

    def parse_known_args(self, args=None, namespace=None):
        self._given = args
        return super().parse_known_args(args, namespace)

    def error(self, message: str):
        # argparse would complain of the option that is missing, not of the one misspelt.
        unknown = [a for a in self._given or () if a[:2] == "--" and a.split("=")[0] not in self]
        if " required" in message and unknown:
            message = self.unknown(unknown[0])
        raise ConfigError(f"{message} (see {self.prog} --help)")

    def __contains__(self, option: str) -> bool:
        return option in self._option_string_actions

    def unknown(self, argument: str) -> str:
        """What to say of an argument that the command does not have."""
        name, equals, value = argument.partition("=")
        if re.search("key|token|secret|password", name, re.IGNORECASE):
            argument, equals, value = name, "", ""  # it may be one
        if name.startswith("--config."):
            if "--config" not in self:
                return f"{self.prog} takes no config: {argument} has no meaning here"
            return f"{argument} has no value: write {name}=VALUE"
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        hint = f": did you mean {near[0]}{equals}{value}?" if near else ""
        if argument.endswith(".py") and "--config" in self:
            hint = f": did you mean --config={argument}?"
        return f"unknown argument {argument}{hint}"


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments of a command, `name` ("data build"), and `overrides` of the config by key.

    Raises ConfigError in one line for a wrong command line, SystemExit after --help and --version.
    """
    parser, commands = parsers()
    if not argv:
        raise ConfigError(f"give a command: {', '.join(commands)} (see skinflow --help)")
    if not argv[0].startswith("-") and argv[0] not in commands:
        near = difflib.get_close_matches(argv[0], commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(commands)}"
        raise ConfigError(f"unknown command {argv[0]}: {hint}")
    overrides = {}
    for argument in list(argv):
        key, equals, value = argument.partition("=")
        if key.startswith("--config.") and equals:
            name = key.removeprefix("--config.")
            if overrides.get(name, value) != value:
                print(f"{key} is given twice: {value} counts, not {overrides[name]}")
            overrides[name] = value
            argv.remove(argument)
    arguments, unknown = parser.parse_known_args(argv)
    command = arguments.parser
    if overrides and "--config" not in command:
        unknown.append(f"--config.{next(iter(overrides))}")
    if unknown:
        command.error(command.unknown(unknown[0]))
    if getattr(arguments, "split_by", None):
        overrides["data.split_by"] = str(arguments.split_by)
    arguments.overrides = overrides
    if arguments.name == "evaluate":
        settle_evaluate(arguments)
    return arguments


def parsers() -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    """The parser of the whole command line, and by name those of the commands."""
    parser = _Parser(
        prog="skinflow",
        description=f"Train a dermatology vision-language model. {_DISCLAIMER}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"skinflow {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, text, of=commands, within=""):
        sub = of.add_parser(
            name, help=text, description=f"{text} {_DISCLAIMER}", allow_abbrev=False
        )
        sub.set_defaults(name=f"{within}{name}", parser=sub)
        return sub

    _demo_arguments(command("demo", "The whole path on a tiny model, in minutes."))
    data = command("data", "Build the records that training reads, and look at them.")
    steps = data.add_subparsers(dest="data_command", required=True, metavar="build|…")
    build = command("build", "Decode and resize every image of config.data once.", steps, "data ")
    add_config(build, "config file, or a shipped one's name: debug_sft")
    build.add_argument("--out", type=here, required=True, help="folder for the records")
    looked_at = command("inspect", "Count what records hold, and draw it.", steps, "data ")
    checked = command("verify", "Compare records with their manifest.", steps, "data ")
    rows = command("export", "Write records as rows of other training stacks.", steps, "data ")
    for parser_of_records in (looked_at, checked, rows):
        parser_of_records.add_argument(
            "--records", type=here, required=True, help="a folder that `skinflow data build` wrote"
        )
        add_ontology(parser_of_records)
    looked_at.add_argument("--out", type=here, help="folder for contact sheets; default: there")
    rows.add_argument("--out", type=here, required=True, help="new folder for rows and images")
    rows.add_argument("--form", choices=_FORMS, default="trl", help="whose rows; default: trl")
    rows.add_argument("--task", choices=_TASKS, default="diagnosis", help="what is asked")
    _caption_arguments(command("caption", "Have captions written by an endpoint.", steps, "data "))
    _train_arguments(command("train", "Train by a config: supervised (sft) or GRPO."))
    add_evaluate(command("evaluate", "Evaluate a model on held-out cases."))
    add_report(command("report", "Make one HTML page of evaluations."))
    _llm_judge_arguments(command("llm-judge", "Have diagnoses compared by a language model."))
    _generate_arguments(command("generate", "Caption and diagnose images."))
    ablation = command("ablation", "What each part of the method is worth, over seeds.")
    ablation.add_argument(
        "--configs", type=here, default=CONFIGS / "ablation", help="folder of rows and stages"
    )
    ablation.add_argument(
        "--seeds", type=seeds, default=range(5), help="how many, or which: 5, or 0,3,4"
    )
    ablation.add_argument("--workdir", type=here, required=True, help="where to write")
    _inspect_arguments(command("inspect", "List a run's checkpoints, or look at its rollouts."))
    imported = command("import-hf", "Make a workdir of a Hugging Face folder.")
    imported.add_argument(
        "--model", type=here, required=True, help="Hugging Face folder, or a PEFT adapter's"
    )
    imported.add_argument(
        "--base", type=here, metavar="FOLDER", help="the model that a PEFT adapter is for"
    )
    imported.add_argument("--workdir", type=bucket_too, required=True, help="where to write")
    exported = command("export-hf", "Make a Hugging Face folder of a run's model.")
    _export_arguments(exported)
    verified = command(
        "verify", "Compare a Hugging Face folder with transformers, by layer groups."
    )
    verified.add_argument("--model", type=here, required=True, help="Hugging Face folder")
    verified.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run Python files of the folder that are not those we ship",
    )
    for name in ("demo", "train", "evaluate", "generate", "ablation"):
        add_compilation_cache(commands.choices[name])
        add_processes(commands.choices[name])
    for parser_of_one in (build, imported, exported):
        add_processes(parser_of_one)
    return parser, commands.choices


def _version() -> str:
    try:
        return importlib.metadata.version("skinflow-jax")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _demo_arguments(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--workdir", type=here, default=Path("runs/demo"), help="where to write")
    demo.add_argument(
        "--source",
        default="procedural",
        help="procedural, folder, pad_ufes_20, …: see docs/data.md",
    )
    demo.add_argument("--data-root", type=here, help="folder of a source that is on disk")
    demo.add_argument("--seed", type=int, default=0, help="of data, weights and sampling")


def _caption_arguments(caption: argparse.ArgumentParser) -> None:
    caption.add_argument(
        "--records", type=here, required=True, help="whose images go to the endpoint"
    )
    caption.add_argument(
        "--out", type=here, required=True, help="folder; started again with it, nothing is lost"
    )
    caption.add_argument(
        "--reader", metavar="NAME", help="that recovers the diagnosis; default: the same model"
    )
    caption.add_argument(
        "--schema", type=here, default="clinical", help="of captions; a file, or a shipped name"
    )
    caption.add_argument(
        "--within",
        type=positive,
        default=1,
        metavar="N",
        help="the diagnosis must be among the reader's first N; default: 1",
    )
    caption.add_argument("--review", type=here, help="a review file that a person has edited")
    add_ontology(caption)
    add_endpoint(caption, "that sees the images")


def _llm_judge_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--predictions", type=here, required=True, help="eval/STEP/predictions.jsonl of a run"
    )
    command.add_argument(
        "--out", type=here, required=True, help="folder; started again with it, nothing is lost"
    )
    command.add_argument(
        "--votes", type=positive, default=3, metavar="N", help="on each diagnosis; default: 3"
    )
    add_ontology(command)
    add_endpoint(command, "that compares each diagnosis with the reference")


def _train_arguments(train: argparse.ArgumentParser) -> None:
    add_config(train, "config file, or a shipped one's name: debug_sft")
    train.add_argument("--workdir", type=bucket_too, required=True, help="where to write")
    train.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    train.add_argument(
        "--step", type=positive, help="resume from this step; later checkpoints are removed"
    )
    train.add_argument(
        "--allow-changed",
        metavar="FIELD",
        action="append",
        default=[],
        help="let a resume change this field of the config (or: data); repeatable",
    )
    train.add_argument(
        "--grace",
        type=seconds,
        default=25.0,
        metavar="SECONDS",
        help="from SIGTERM or Ctrl-C to the end of the process; default: 25",
    )
    add_records(train)


def _inspect_arguments(inspected: argparse.ArgumentParser) -> None:
    inspected.add_argument("--checkpoint", type=bucket_too, required=True, help="workdir of a run")
    inspected.add_argument(
        "--rollouts",
        action="store_true",
        help="what its model wrote in training and what it was paid; default: its checkpoints",
    )
    of_rollouts = inspected.add_argument_group("with --rollouts")
    of_rollouts.add_argument("--step", type=positive, metavar="N", help="only those of this step")
    of_rollouts.add_argument(
        "--sort", choices=_ORDERS, help="the highest first; default: the newest groups first"
    )
    of_rollouts.add_argument("--task", choices=_TASKS, help="only those of this task")
    of_rollouts.add_argument("--limit", type=positive, metavar="N", help="most groups; default: 10")
    of_rollouts.add_argument(
        "--out", type=here, metavar="FILE.html", help="write one page instead, with the images"
    )
    add_records(of_rollouts)


def _export_arguments(exported: argparse.ArgumentParser) -> None:
    exported.add_argument("--checkpoint", type=bucket_too, required=True, help="workdir of a run")
    exported.add_argument("--out", type=here, required=True, help="folder to write")
    exported.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="type of the tensors; default: that of the Hugging Face folder which the run descends "
        "from, else the parameters' own. What dynamic maps read in float32 stays so",
    )
    exported.add_argument(
        "--adapter",
        action="store_true",
        help="write the LoRA adapters alone, as a PEFT folder; default: merged into the model",
    )
    exported.add_argument(
        "--max-shard-size",
        type=size,
        metavar="SIZE",
        help="most of a weights file: 500MB, 2GiB or bytes; default: 5GB",
    )


def _generate_arguments(generate: argparse.ArgumentParser) -> None:
    generate.add_argument(
        "--checkpoint", type=bucket_too, required=True, help="workdir, model or adapter folder"
    )
    generate.add_argument("--image", type=here, required=True, action="append", help="repeatable")
    generate.add_argument(
        "--one-case",
        action="store_true",
        help="ask about all images at once: one lesion",
    )
    generate.add_argument(
        "--prompt",
        metavar="TEXT",
        help='a question of yours; the images stand where it says "<image>", or in front',
    )
    generate.add_argument(
        "--max-tokens", type=positive, default=512, help="most tokens of an answer"
    )
    generate.add_argument(
        "--max-pixels", type=positive, help="resize larger images; default: as in training"
    )
    add_dtype(generate, "default: float32")
    generate.add_argument(
        "--tensor",
        type=positive,
        metavar="N",
        help="devices to split the model over; default: as many as divide it",
    )
