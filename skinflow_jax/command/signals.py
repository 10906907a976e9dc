"""Signals outside of a run: the command unwinds, so that nothing half written stays."""

import atexit
import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader

from skinflow_jax.errors import STOPPED, Interrupted, StartAgain, Terminated, exit_code


@contextlib.contextmanager
def ended_by_signals(*, goes_on: bool) -> Iterator[None]:
    """SIGTERM, SIGHUP and Ctrl-C raise an error of theirs in the block, in the main thread.

    SIGHUP, of a terminal that is closed, not where nohup has it ignored.

    A command that `goes_on` where it was says so by its exit code, before its run begins too.

    Python runs a handler between two operations: within a finalizer, a callback of the garbage
    collector or an import as well, which drop what is raised there. An error that ends before it
    has left the block was dropped: its signal comes again a moment later. So does one that comes as
    an extension module is initialised, whose C++ may let no exception through and abort.

    Once the command is done, and has said how, Ctrl-C does not disturb the interpreter's end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised, received, timers = set(), [], []

    def raise_error(number: int, frame) -> None:
        received.append(number)
        if _in_extension(frame):
            return send_later(number)
        error = _error(number, goes_on)
        raised.add(weakref.ref(error, lambda gone: again(gone, number)))
        try:
            raise error
        finally:
            del error  # else its own traceback would keep it

    def again(gone: weakref.ref, number: int) -> None:
        if gone in raised and signal.getsignal(number) is raise_error:
            raised.discard(gone)
            send_later(number)

    def send_later(number: int) -> None:
        timers.append(threading.Timer(0.05, os.kill, (os.getpid(), number)))
        timers[-1].start()

    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    for number, handler in before.items():
        if number == signal.SIGTERM or handler in defaults:
            signal.signal(number, raise_error)
    try:
        with _unsaid():
            yield
    except BaseException as error:
        if received and exit_code(error) is None:
            raise _error(received[0], goes_on) from error
        raise
    finally:
        raised.clear()
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        # Callbacks run in the reverse order: before those of the libraries that were imported.
        atexit.unregister(_ignore_ctrl_c)
        atexit.register(_ignore_ctrl_c)


def _in_extension(frame) -> bool:
    """Whether an extension module is being initialised in `frame` or around it."""
    while frame is not None:
        loads = frame.f_code.co_name in ("create_module", "exec_module")
        if loads and isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False


def _ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _error(number: int, goes_on: bool) -> BaseException:
    if number == signal.SIGINT:
        return Interrupted("interrupted")
    name = signal.Signals(number).name
    if goes_on:
        return StartAgain(f"{name}: nothing was under way; start it again")
    return Terminated(f"{name}: ended; nothing half written is left")


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """Within, neither the interpreter nor an extension prints the errors of signals it drops.

    Nor what follows of them, or of a damaged checkpoint: reads that were given up still call back
    into their event loop, which is closed.
    """
    unraisable, uncaught = sys.unraisablehook, sys.excepthook

    def unraisable_hook(found) -> None:
        if not (isinstance(found.exc_value, STOPPED) or _of_a_closed_loop(found.exc_value)):
            unraisable(found)

    def uncaught_hook(kind, error, trace) -> None:
        if not isinstance(error, STOPPED):
            uncaught(kind, error, trace)

    sys.unraisablehook, sys.excepthook = unraisable_hook, uncaught_hook
    try:
        yield
    finally:
        sys.excepthook = uncaught
        if sys.unraisablehook is unraisable_hook:
            sys.unraisablehook = unraisable


def _of_a_closed_loop(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"
