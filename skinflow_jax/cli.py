"""The command line: each command parses its arguments and calls one room.

A failed command leaves one line on stderr and the exit code that `errors` gives it. Imports of the
rooms wait until a command runs, so that `--help` answers at once.
"""

import argparse
import contextlib
import difflib
import importlib.metadata
import io
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from skinflow_jax.errors import (
    FAILED_RUN,
    SUCCESS,
    ConfigError,
    InputError,
    Interrupted,
    StartAgain,
    Terminated,
    exit_code,
    printable,
)
from skinflow_jax.shipped import CONFIGS, config_file
from skinflow_jax.storage import address_fault, is_bucket, storage_path

# Commands that, killed and started again, do what is left to do.
_GO_ON = ("train", "ablation")

_DISCLAIMER = "Research software: not a medical device, not for diagnosis or treatment."


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code. `--help` and `--version` raise SystemExit(0)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # File names that are no UTF-8, and locales that lack a character, must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = _parse(argv)
        with _ended_by_sigterm(goes_on=arguments.command in _GO_ON):
            _quiet_libraries()
            _keep_programs(arguments)
            arguments.run(arguments)
    except BrokenPipeError:  # `skinflow generate … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED_RUN
    except BaseException as error:
        code = exit_code(error)
        if code is not None:
            return _fail(_said(error), code)
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        advice = "lower batch_size, raise micro_batches or use remat=full"
        return _fail(f"out of memory: {advice}", FAILED_RUN)
    return SUCCESS


@contextlib.contextmanager
def _ended_by_sigterm(*, goes_on: bool):
    """SIGTERM unwinds the command like Ctrl-C does, so that nothing half written stays behind.

    A command that `goes_on` where it was says so by its exit code, before its run begins too.
    """

    def end(*_):
        if goes_on:
            raise StartAgain("SIGTERM: nothing was under way; start it again")
        raise Terminated("SIGTERM: ended; nothing half written is left")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _said(error: BaseException) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error) or "interrupted"


def _fail(problem: str, code: int) -> int:
    print("skinflow:", printable(" ".join(problem.splitlines())), file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Raises its errors as ConfigError, so that all wrong command lines look the same."""

    def parse_known_args(self, args=None, namespace=None):
        self._given = args
        return super().parse_known_args(args, namespace)

    def error(self, message: str):
        # argparse would complain of the option that is missing, not of the one misspelt.
        unknown = [a for a in self._given or () if a[:2] == "--" and a.split("=")[0] not in self]
        if message.startswith("the following arguments are required") and unknown:
            message = self.unknown(unknown[0])
        raise ConfigError(f"{message} (see {self.prog} --help)")

    def __contains__(self, option: str) -> bool:
        return option in self._option_string_actions

    def unknown(self, argument: str) -> str:
        """What to say of an argument that the command does not have."""
        name, equals, value = argument.partition("=")
        if name.startswith("--config."):
            if "--config" not in self:
                return f"{self.prog} takes no config: {argument} has no meaning here"
            return f"{argument} has no value: write {name}=VALUE"
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        hint = f": did you mean {near[0]}{equals}{value}?" if near else ""
        if argument.endswith(".py") and "--config" in self:
            hint = f": did you mean --config={argument}?"
        return f"unknown argument {argument}{hint}"


def _parse(argv: list[str]) -> argparse.Namespace:
    parser, commands = _parsers()
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
    arguments.overrides = overrides
    return arguments


def _parsers() -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="skinflow",
        description=f"Train a dermatology vision-language model. {_DISCLAIMER}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"skinflow {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, text, of=commands):
        sub = of.add_parser(
            name, help=text, description=f"{text} {_DISCLAIMER}", allow_abbrev=False
        )
        sub.set_defaults(run=run, parser=sub)
        return sub

    _demo_arguments(command("demo", _demo, "The whole path on a tiny model, in minutes."))
    data = command("data", None, "Build the records that training reads.")
    steps = data.add_subparsers(dest="data_command", required=True, metavar="build")
    build = command(
        "build", _data_build, "Decode and resize every image of config.data once.", steps
    )
    _add_config(build, "config file, or a shipped one's name: debug_sft")
    build.add_argument("--out", type=_here, required=True, help="folder for the records")
    _train_arguments(command("train", _train, "Train by a config: supervised (sft) or GRPO."))
    _evaluate_arguments(command("evaluate", _evaluate, "Evaluate a model on held-out cases."))
    _generate_arguments(command("generate", _generate, "Caption and diagnose images."))
    ablation = command("ablation", _ablation, "What each part of the method is worth, over seeds.")
    ablation.add_argument(
        "--configs", type=_here, default=CONFIGS / "ablation", help="folder of rows and stages"
    )
    ablation.add_argument(
        "--seeds", type=_seeds, default=range(5), help="how many, or which: 5, or 0,3,4"
    )
    ablation.add_argument("--workdir", type=_here, required=True, help="where to write")
    inspected = command("inspect", _inspect, "List a run's checkpoints and what is damaged.")
    inspected.add_argument("--checkpoint", type=_bucket_too, required=True, help="workdir of a run")
    imported = command("import-hf", _import_hf, "Make a workdir of a Hugging Face folder.")
    imported.add_argument("--model", type=_here, required=True, help="Hugging Face folder")
    imported.add_argument("--workdir", type=_bucket_too, required=True, help="where to write")
    exported = command("export-hf", _export_hf, "Make a Hugging Face folder of a run's model.")
    exported.add_argument("--checkpoint", type=_bucket_too, required=True, help="workdir of a run")
    exported.add_argument("--out", type=_here, required=True, help="folder to write")
    for name in ("demo", "train", "evaluate", "generate", "ablation"):
        _add_compilation_cache(commands.choices[name])
    return parser, commands.choices


def _version() -> str:
    try:
        return importlib.metadata.version("skinflow-jax")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _demo_arguments(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--workdir", type=_here, default=Path("runs/demo"), help="where to write")
    demo.add_argument("--source", default="procedural", help="procedural or pad_ufes_20")
    demo.add_argument("--data-root", type=_here, help="folder of a source that is on disk")
    demo.add_argument("--seed", type=int, default=0, help="of data, weights and sampling")


def _train_arguments(train: argparse.ArgumentParser) -> None:
    _add_config(train, "config file, or a shipped one's name: debug_sft")
    train.add_argument("--workdir", type=_bucket_too, required=True, help="where to write")
    train.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    train.add_argument(
        "--step", type=_positive, help="resume from this step; later checkpoints are removed"
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
        type=_seconds,
        default=25.0,
        metavar="SECONDS",
        help="from SIGTERM or Ctrl-C to the end of the process; default: 25",
    )
    _add_records(train)


def _evaluate_arguments(evaluate: argparse.ArgumentParser) -> None:
    _add_config(evaluate, "config file; by default the one the run was made with")
    evaluate.add_argument(
        "--checkpoint", type=_bucket_too, required=True, help="workdir or model folder"
    )
    evaluate.add_argument(
        "--out", type=_bucket_too, help="where to write; default: eval/STEP of the run"
    )
    _add_records(evaluate)


def _generate_arguments(generate: argparse.ArgumentParser) -> None:
    generate.add_argument(
        "--checkpoint", type=_bucket_too, required=True, help="workdir or model folder"
    )
    generate.add_argument("--image", type=_here, required=True, action="append", help="repeatable")
    generate.add_argument(
        "--max-tokens", type=_positive, default=512, help="most tokens of an answer"
    )
    generate.add_argument(
        "--max-pixels", type=_positive, help="resize larger images; default: as in training"
    )


def _add_config(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--config", type=_here, metavar="FILE", help=text)
    parser.epilog = "Any value of the config can be given: --config.rl.group_size=16"


def _add_records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--records", type=_here, help="records by `skinflow data build`; default: in the workdir"
    )


def _add_compilation_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compilation-cache",
        type=_programs,
        metavar="DIR|off",
        help="where compiled programs are kept for later starts; default: the user's cache folder",
    )


def _here(text: str) -> Path:
    fault = address_fault(text, bucket=False)
    if fault:
        raise argparse.ArgumentTypeError(f"{text} {fault}")
    return Path(text)


def _bucket_too(text: str) -> Path:
    try:
        return storage_path(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _programs(text: str) -> str:
    return text if text == "off" else str(_bucket_too(text))


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _seeds(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or text == "0":
        raise argparse.ArgumentTypeError(f"{text!r} is neither a count nor a list such as 0,3,4")
    return list(range(int(text))) if len(parts) == 1 else [int(part) for part in parts]


def _quiet_libraries() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)


def _keep_programs(arguments) -> None:
    if "compilation_cache" in arguments:
        from skinflow_jax.parallel.compilation_cache import use_compilation_cache

        use_compilation_cache(arguments.compilation_cache)


def _demo(arguments) -> None:
    from skinflow_jax.runs.demo import run_demo

    try:
        run_demo(
            arguments.workdir,
            source=arguments.source,
            data_root=arguments.data_root,
            seed=arguments.seed,
        )
    except StartAgain as error:  # a demo begins anew, it has nothing to go on from
        raise Terminated("SIGTERM: ended; the demo starts from the beginning") from error
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; the demo starts from the beginning") from error


def _config(arguments):
    from skinflow_jax.config import load_config

    return load_config(arguments.config, arguments.overrides)


def _data_build(arguments) -> None:
    config = _config(arguments)
    from skinflow_jax.runs.cases import prepare_records

    data = config.data
    records = prepare_records(data, data.split, data.count, arguments.out)
    if not records.manifest.has_news:  # else it has been printed
        print(records.manifest.summary())
    print(f"written: {records.folder}")


def _train(arguments) -> None:
    config = _config(arguments)
    from skinflow_jax.runs.train import train

    _check_start(config.model.init_from, arguments.config)
    train(
        config,
        arguments.workdir,
        resume=arguments.resume,
        records_folder=arguments.records,
        step=arguments.step,
        allow_changed=arguments.allow_changed,
        grace=arguments.grace,
    )
    print(f"written: {arguments.workdir}; next: skinflow evaluate --checkpoint={arguments.workdir}")


def _check_start(init_from: str | None, config: Path | None) -> None:
    """Raise InputError before the images are read where there is no model to start from."""
    if init_from is None:
        return
    from skinflow_jax.runs.policies import check_checkpoint

    start = storage_path(init_from)
    # Our configs start from the workdir that is named after the config that makes it.
    maker = config and config.with_name(f"{start.name}{config.suffix}")
    if maker and config_file(maker).is_file() and not is_bucket(start) and not start.exists():
        raise InputError(
            f"model.init_from={init_from} does not exist; make it first: "
            f"skinflow train --config={maker} --workdir={init_from}"
        )
    check_checkpoint(start)


def _evaluate(arguments) -> None:
    from skinflow_jax.runs.evaluate import evaluate
    from skinflow_jax.runs.policies import check_checkpoint, is_run

    check_checkpoint(arguments.checkpoint)
    if arguments.config is None:
        arguments.config = arguments.checkpoint / "config.json"
        if not (is_run(arguments.checkpoint) and arguments.config.is_file()):
            raise ConfigError(
                f"{arguments.checkpoint} does not say what to evaluate it on: add --config=FILE"
            )
    evaluate(_config(arguments), arguments.checkpoint, arguments.out, arguments.records)


def _generate(arguments) -> None:
    from skinflow_jax.data.images import load_image
    from skinflow_jax.evaluation.generate import print_answers
    from skinflow_jax.runs.policies import open_checkpoint

    images = {path: load_image(path) for path in arguments.image}
    policy = open_checkpoint(arguments.checkpoint)
    if policy.pixels is None and arguments.max_pixels is None:
        raise InputError(
            f"{arguments.checkpoint} has no preprocessor_config.json, which says how large its "
            "images are: fetch the file or add --max-pixels"
        )
    budget = policy.pixels
    print_answers(
        policy.model,
        policy.tokenizer,
        images,
        max_tokens=arguments.max_tokens,
        min_pixels=1 if budget is None else budget.min_pixels,
        max_pixels=arguments.max_pixels or budget.max_pixels,
    )


def _ablation(arguments) -> None:
    from skinflow_jax.runs.ablation import run_ablation

    try:
        run_ablation(arguments.configs, arguments.seeds, arguments.workdir)
    except StartAgain as error:  # it takes no --resume
        raise StartAgain("SIGTERM: ended; start it again: what is done is kept") from error
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; start it again: what is done is kept") from error


def _inspect(arguments) -> None:
    from skinflow_jax.runs.inspect import inspect_checkpoint

    inspect_checkpoint(arguments.checkpoint)


def _import_hf(arguments) -> None:
    from skinflow_jax.runs.policies import import_hf

    _stay_off_accelerators()
    import_hf(arguments.model, arguments.workdir)


def _export_hf(arguments) -> None:
    from skinflow_jax.runs.policies import export_hf

    _stay_off_accelerators()
    export_hf(arguments.checkpoint, arguments.out)


def _stay_off_accelerators() -> None:
    """For what only moves weights between files: one chip would have to hold all of them."""
    import jax

    jax.config.update("jax_platforms", "cpu")
