"""The command line: each command parses its arguments and calls one room.

Exit code 0 on success, 2 on a wrong command line or config, 1 on a failed run, with one line on
stderr. Imports of the rooms wait until a command runs, so that `--help` answers at once.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from skinflow_jax.errors import ConfigError, InputError

_DISCLAIMER = "Research software: not a medical device, not for diagnosis or treatment."


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    arguments.overrides, unknown = _overrides(rest)
    if unknown or (arguments.overrides and not hasattr(arguments, "config")):
        parser.error(f"unknown argument {(unknown or rest)[0]}")
    _quiet_libraries()
    try:
        arguments.run(arguments)
    except ConfigError as error:
        print(f"skinflow: {error}", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"skinflow: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("skinflow: interrupted; go on with --resume", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skinflow",
        description=f"Train a dermatology vision-language model. {_DISCLAIMER}",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, text):
        sub = commands.add_parser(
            name, help=text, description=f"{text} {_DISCLAIMER}", allow_abbrev=False
        )
        sub.set_defaults(run=run)
        return sub

    demo = command("demo", _demo, "The whole path on a tiny model, on a laptop, in minutes.")
    demo.add_argument("--workdir", type=Path, default=Path("runs/demo"), help="where to write")
    demo.add_argument("--source", default="procedural", help="procedural or pad_ufes_20")
    demo.add_argument("--data-root", type=Path, help="folder of a source that is on disk")
    demo.add_argument("--seed", type=int, default=0)

    data = command("data", None, "Build the records that training reads.")
    build = data.add_subparsers(dest="data_command", required=True, metavar="build").add_parser(
        "build", help="decode and resize every image of a split once", allow_abbrev=False
    )
    build.set_defaults(run=_data_build)
    _add_config(build)
    build.add_argument("--out", type=Path, required=True, help="folder for the records")

    train = command("train", _train, "Train by a config: supervised (sft) or GRPO (grpo).")
    _add_config(train)
    train.add_argument("--workdir", type=Path, required=True, help="where to write")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")

    evaluate = command("evaluate", _evaluate, "Judge a model on the held-out split of a config.")
    _add_config(evaluate)
    evaluate.add_argument("--checkpoint", type=Path, required=True, help="workdir or model folder")
    evaluate.add_argument("--out", type=Path, help="where to write; default under the checkpoint")

    generate = command("generate", _generate, "Caption and ranked diagnoses of images.")
    generate.add_argument("--checkpoint", type=Path, required=True, help="workdir or model folder")
    generate.add_argument("--image", type=Path, required=True, action="append", help="repeatable")
    generate.add_argument("--max-tokens", type=int, default=512)
    generate.add_argument("--max-pixels", type=int, help="resize larger images to this many pixels")

    imported = command("import-hf", _import_hf, "Check a Hugging Face folder and make a workdir.")
    imported.add_argument("--model", type=Path, required=True, help="Hugging Face folder")
    imported.add_argument("--workdir", type=Path, required=True, help="where to write")

    exported = command("export-hf", _export_hf, "Write a run's model as a Hugging Face folder.")
    exported.add_argument("--checkpoint", type=Path, required=True, help="workdir of a run")
    exported.add_argument("--out", type=Path, required=True, help="folder to write")
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="such as configs/debug_sft.py")
    parser.epilog = "Any value of the config: --config.rl.group_size=16"


def _overrides(rest: list[str]) -> tuple[dict[str, str], list[str]]:
    overrides, unknown = {}, []
    for argument in rest:
        key, equals, value = argument.partition("=")
        if key.startswith("--config.") and equals:
            overrides[key.removeprefix("--config.")] = value
        else:
            unknown.append(argument)
    return overrides, unknown


def _quiet_libraries() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)


def _demo(arguments) -> None:
    from skinflow_jax.demo import run_demo

    run_demo(
        arguments.workdir,
        source=arguments.source,
        data_root=arguments.data_root,
        seed=arguments.seed,
    )


def _config(arguments):
    from skinflow_jax.config import load_config

    return load_config(arguments.config, arguments.overrides)


def _data_build(arguments) -> None:
    from skinflow_jax.experiment import prepare_records

    data = _config(arguments).data
    records = prepare_records(data, data.split, data.count, arguments.out)
    print(records.manifest.summary())


def _train(arguments) -> None:
    from skinflow_jax.experiment import train

    train(_config(arguments), arguments.workdir, resume=arguments.resume)


def _evaluate(arguments) -> None:
    from skinflow_jax.experiment import evaluate

    evaluate(_config(arguments), arguments.checkpoint, arguments.out)


def _generate(arguments) -> None:
    from skinflow_jax.evaluation.generate import print_answers
    from skinflow_jax.experiment import open_checkpoint

    policy = open_checkpoint(arguments.checkpoint)
    print_answers(
        policy.model,
        policy.tokenizer,
        arguments.image,
        max_tokens=arguments.max_tokens,
        max_pixels=arguments.max_pixels,
    )


def _import_hf(arguments) -> None:
    from skinflow_jax.experiment import import_hf

    import_hf(arguments.model, arguments.workdir)


def _export_hf(arguments) -> None:
    from skinflow_jax.experiment import export_hf

    export_hf(arguments.checkpoint, arguments.out)
