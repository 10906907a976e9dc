"""A command from its arguments to its exit code, in one process or many.

A failed command leaves one line on stderr and the exit code that `errors` gives it.
"""

import contextlib
import functools
import io
import logging
import os
import sys
from collections.abc import Iterator

from skinflow_jax.command.line import parse
from skinflow_jax.command.process_wide import prepare
from skinflow_jax.command.signals import ended_by_signals
from skinflow_jax.commands import COMMANDS, stay_off_accelerators
from skinflow_jax.errors import (
    FAILED_RUN,
    SUCCESS,
    ConfigError,
    exit_code,
    printable,
)

# Commands that several processes have one of them do, and those that are for one alone.
_OF_THE_FIRST = ("data build", "export-hf")
_OF_ONE = ("generate",)
# Commands that, killed and started again, do what is left to do.
_GO_ON = ("train", "ablation", "data caption", "llm-judge")


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code. `--help` and `--version` raise SystemExit(0)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # File names that are no UTF-8, and locales that lack a character, must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = None
    try:
        arguments = parse(argv)
        with ended_by_signals(goes_on=arguments.name in _GO_ON):
            _quiet_libraries()
            with _processes(arguments) as to_run:
                if to_run:
                    prepare(arguments)
                    COMMANDS[arguments.name](arguments)
                print(end="", flush=True)
    except BrokenPipeError:  # `skinflow generate … | head`
        return FAILED_RUN
    except BaseException as error:
        outcome = _outcome(error, arguments)
        if outcome is None:
            raise
        return _fail(*outcome)
    return SUCCESS


def _outcome(error: BaseException, arguments) -> tuple[int, str] | None:
    """Exit code and line of an error that a command ends with; None for a defect of ours."""
    if isinstance(error, OSError):
        error = _cause(error, arguments)
    code = exit_code(error)
    if code is not None:
        return code, _said(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        advice = "lower batch_size, raise micro_batches or use remat=full"
        return FAILED_RUN, f"out of memory: {advice}"
    return None


@contextlib.contextmanager
def _processes(arguments) -> Iterator[bool]:
    """The command among others like it, where it has been started so; gives whether to run it."""
    if "cluster" not in arguments:
        yield True
        return
    from skinflow_jax.parallel.processes import find_cluster, process_number

    cluster = find_cluster(
        arguments.cluster, arguments.coordinator, arguments.processes, arguments.process
    )
    if cluster is None:
        yield True
    elif arguments.name in _OF_THE_FIRST:
        yield process_number(cluster) == 0
    else:
        with _among_peers(arguments, cluster):
            yield True


@contextlib.contextmanager
def _among_peers(arguments, cluster) -> Iterator[None]:
    import jax

    from skinflow_jax.parallel.peers import among_peers, leave_at_once
    from skinflow_jax.parallel.processes import first_process, start_processes

    if arguments.name == "import-hf":
        stay_off_accelerators()
    outcome = functools.partial(_outcome, arguments=arguments)
    try:
        found = start_processes(cluster, timeout=arguments.start_timeout)
    except BaseException as error:  # JAX still waits, in a thread, and would abort at the end
        known = outcome(error)
        if known is None:
            raise
        leave_at_once(_fail(*known))
    with among_peers(outcome), open(os.devnull, "w") as nowhere:
        if arguments.name in _OF_ONE and jax.process_count() > 1:
            raise ConfigError(
                f"{arguments.name} is for one process: start it on one, --cluster=none"
            )
        print(printable(found), flush=True)
        # People look at one of them.
        with contextlib.redirect_stdout(sys.stdout if first_process() else nowhere):
            yield


def _cause(error: OSError, arguments) -> Exception:
    """What failed: standard output, or the folder that the command writes to."""
    from skinflow_jax.checkpoints.storage_errors import cause
    from skinflow_jax.command.standard_output import output_error

    named = (getattr(arguments, name, None) for name in ("out", "workdir", "checkpoint"))
    folder = next(filter(None, named), None)
    return output_error(error) or (folder and cause(error, folder)) or error


def _said(error: BaseException) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error) or "interrupted"


def _fail(code: int, problem: str) -> int:
    print("skinflow:", printable(" ".join(problem.splitlines())), file=sys.stderr)
    return code


def _quiet_libraries() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)
