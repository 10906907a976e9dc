"""State of the whole process that a reward could change, and the copy of it that rewards have."""

import contextlib
import decimal
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np


class RewardProcess:
    """A run's rewards see the process as they left it, and the run as it was before them.

    Within `entered()` are the rewards' own environment variables, working directory, `sys.path`
    and random states of Python and numpy: what a file sets while it is loaded holds at its calls.
    Put back after each is what is nobody's to change: locale, decimal context, warning filters, the
    root logger, standard streams, JAX's settings, recursion limit, socket time-out and garbage
    collection.

    Threads share one process: while rewards run, the run's other threads (prefetching, saving) see
    the rewards' state, and rewards that run at the same time see one another's.

    Attributes:
      step: steps of the run that were finished, for rewards that ask.
    """

    def __init__(self):
        self.step = 0
        self._own: list[Any] | None = None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The rewards' state within, the run's after."""
        runs, guarded = _read(_OWN), _read(_GUARDED)
        if self._own is not None:
            _write(_OWN, self._own)
        try:
            with warnings.catch_warnings():
                yield
        finally:
            self._own = _read(_OWN)
            _write(_OWN, runs)
            _write(_GUARDED, guarded)


@contextlib.contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Puts back the signal handlers that were changed within. In other threads none can be."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                # None was not set from Python, which cannot set it again.
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


def _read(parts) -> list[Any]:
    return [read() for read, _ in parts]


def _write(parts, values: list[Any]) -> None:
    for (_, write), value in zip(parts, values, strict=True):
        write(value)


def _set_environment(wanted: dict[str, str]) -> None:
    # Only what differs: another thread must never find the environment empty.
    for name in set(os.environ) - set(wanted):
        os.environ.pop(name, None)
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _set_directory(wanted: str | None) -> None:
    if wanted is not None and wanted != _directory():
        with contextlib.suppress(OSError):
            os.chdir(wanted)


def _set_path(wanted: list[str]) -> None:
    sys.path[:] = wanted


def _set_locale(wanted: str) -> None:
    if locale.setlocale(locale.LC_ALL) != wanted:
        locale.setlocale(locale.LC_ALL, wanted)


def _logging() -> tuple:
    root = logging.getLogger()
    return root.level, list(root.handlers), root.manager.disable


def _set_logging(wanted: tuple) -> None:
    root = logging.getLogger()
    root.level, root.handlers[:], disable = wanted
    logging.disable(disable)  # which forgets what loggers cached of levels, too


def _set_streams(wanted: tuple) -> None:
    sys.stdin, sys.stdout, sys.stderr = wanted


def _set_jax(wanted: dict[str, Any]) -> None:
    for name, value in jax.config.values.items():
        if name in wanted and wanted[name] is not value and wanted[name] != value:
            jax.config.update(name, wanted[name])


def _set_collection(wanted: bool) -> None:
    (gc.enable if wanted else gc.disable)()


# How each part is read, and how it is written.
_Part = tuple[Callable[[], Any], Callable[[Any], Any]]
_OWN: tuple[_Part, ...] = (
    (lambda: dict(os.environ), _set_environment),
    (_directory, _set_directory),
    (lambda: list(sys.path), _set_path),
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
)
_GUARDED: tuple[_Part, ...] = (
    (lambda: locale.setlocale(locale.LC_ALL), _set_locale),
    (lambda: decimal.getcontext().copy(), decimal.setcontext),
    (_logging, _set_logging),
    (lambda: (sys.stdin, sys.stdout, sys.stderr), _set_streams),
    (lambda: dict(jax.config.values), _set_jax),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (socket.getdefaulttimeout, socket.setdefaulttimeout),
    (gc.isenabled, _set_collection),
)
