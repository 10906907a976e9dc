"""Signals and a standard output that fails, as they end a command."""

import asyncio
import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import time
from importlib.machinery import ExtensionFileLoader

import pytest

from skinflow_jax import cli
from skinflow_jax.command.standard_output import Console
from skinflow_jax.errors import InputError


class _Finalized:
    def __init__(self, work):
        self._work = work

    def __del__(self):
        self._work()


def _swallowed(work):
    with contextlib.suppress(BaseException):
        work()


def _wrapped(work):
    try:
        work()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    raise ImportError("Encountered an error while initializing the extension.")


@pytest.mark.parametrize("dropped", [_Finalized, _swallowed, _wrapped])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)]
)
def test_a_signal_whose_error_is_dropped_is_not_lost(
    number, code, dropped, tmp_path, fails, monkeypatch
):
    """JAX has a callback of the garbage collector, extension modules clear errors of imports."""

    def work(*_):
        dropped(lambda: signal.raise_signal(number))
        time.sleep(20)

    monkeypatch.setattr(cli, "prepare", work)
    assert fails("evaluate", f"--checkpoint={tmp_path}", code=code)


def test_a_signal_comes_but_once_to_a_command_that_takes_long_to_unwind(
    tmp_path, fails, monkeypatch
):
    unwound = []

    def work(*_):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            time.sleep(0.3)
            unwound.append(True)

    monkeypatch.setattr(cli, "prepare", work)
    fails("evaluate", f"--checkpoint={tmp_path}", code=143)
    assert unwound == [True]


def test_a_terminal_that_is_closed_does_not_end_what_nohup_began(tmp_path, fails, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def work(*_):
        signal.raise_signal(signal.SIGHUP)
        raise InputError("it went on")

    monkeypatch.setattr(cli, "prepare", work)
    try:
        assert "it went on" in fails("evaluate", f"--checkpoint={tmp_path}", code=2)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_waits_for_an_extension_module_to_be_initialised(tmp_path, fails, monkeypatch):
    """What is raised in its C++ may abort the process."""
    done = []

    class Loader(ExtensionFileLoader):
        def create_module(self, spec):
            signal.raise_signal(signal.SIGTERM)
            done.append(spec)

    def work(*_):
        Loader("name", "name.so").create_module("initialised")
        time.sleep(5)

    monkeypatch.setattr(cli, "prepare", work)
    fails("evaluate", f"--checkpoint={tmp_path}", code=143)
    assert done == ["initialised"]


def test_a_closed_standard_output_is_an_error_that_a_run_can_tell():
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    with pytest.raises(BrokenPipeError):
        Console(file=Closed()).print("a table")


def test_a_read_that_was_given_up_says_nothing_of_its_closed_loop(tmp_path, fails, monkeypatch):
    class Late:
        def __del__(self):
            loop = asyncio.new_event_loop()
            loop.close()
            loop.call_soon_threadsafe(print)

    class Broken:
        def __del__(self):
            raise RuntimeError("a defect")

    def work(*_):
        for kind in (Late, Broken):
            kind()
        raise InputError("a damaged checkpoint")

    monkeypatch.setattr(cli, "prepare", work)
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: heard.append(str(found.exc_value)))
    fails("evaluate", f"--checkpoint={tmp_path}", code=2)
    assert heard == ["a defect"]


def test_ctrl_c_does_not_disturb_the_end_of_a_command_that_is_done():
    """JAX cleans up in a callback of the interpreter's end, which takes a while."""
    command = """
import atexit, signal, sys
from skinflow_jax.cli import main
atexit.register(signal.raise_signal, signal.SIGINT)
sys.exit(main(["inspect", "--checkpoint=nowhere"]))
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("skinflow: nowhere"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
