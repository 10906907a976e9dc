"""SIGTERM, Ctrl-C or a closed terminal: a run leaves at its next safe point, or after the grace.

A preempted machine sends SIGTERM and takes itself away some 30 seconds later. The first signal asks
the run to stop; a second one, or the end of the grace, ends the process at once. Python runs its
signal handlers between two operations of the main thread, which a step on the devices may hold for
minutes: a thread that reads the signals from a file descriptor keeps the time.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

from skinflow_jax.errors import INTERRUPTED, START_AGAIN, Interrupted, StartAgain
from skinflow_jax.parallel.peers import tell_peers

GRACE = 25.0
ECHO = 1.0
"""Seconds in which a signal again is the same one: a scheduler sends it to a process and to what
started that, which passes it on."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """A context manager around a run; outside of the main thread it does nothing.

    Args:
      grace: seconds from the first signal to the end of the process.
      leave: ends the process with a code, at once.

    Attributes:
      saved: says what is saved, for the message: "step 15 is saved in …".
      safe_points: whether the run asks `requested` after each step. Until it does, there is
        nothing to save and the first signal is raised where the main thread is.
    """

    def __init__(self, grace: float = GRACE, *, leave: Callable[[int], None] = os._exit):
        self.saved: Callable[[], str] = lambda: "nothing is saved yet"
        self.safe_points = False
        self._grace, self._leave = grace, leave
        self._received: int | None = None
        self._raised = False
        self._open = contextlib.ExitStack()

    @property
    def requested(self) -> bool:
        """Whether the run has been asked to stop."""
        return self._received is not None

    def error(self) -> StartAgain | Interrupted:
        """What the run ends with, by the signal it got."""
        if self._received == signal.SIGINT:
            return Interrupted(f"interrupted: {self.saved()}")
        number = self._received
        cause = (
            "another process was asked to stop" if number is None else signal.Signals(number).name
        )
        return StartAgain(f"{cause}: {self.saved()}")

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is not threading.main_thread():
            return self
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        watcher = threading.Thread(
            target=self._watch, args=(reading,), name="stop signals", daemon=True
        )
        watcher.start()
        # In the reverse order: the thread ends when its descriptor is shut.
        self._open.callback(reading.close)
        self._open.callback(watcher.join)
        self._open.callback(writing.close)
        self._open.callback(signal.set_wakeup_fd, before)
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._open.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._open.close()
        # A library may have made an error of its own of the signal that was raised in it.
        if self._raised and isinstance(error, Exception):
            raise self.error() from error

    def check(self) -> None:
        """Raise the signal that was raised before, where a library has swallowed it.

        What it was raised in may then have given anything: a checkpoint read, an older one taken.
        """
        if self._raised:
            raise self.error()

    def _handle(self, number: int, _) -> None:
        self._received = self._received or number
        if not (self.safe_points or self._raised):
            self._raised = True
            raise self.error()

    def _watch(self, reading: socket.socket) -> None:
        first = None
        reading.settimeout(None)
        while numbers := _received(reading):
            for number in numbers:
                if number not in _SIGNALS:
                    continue
                now = time.monotonic()
                if first is None:
                    first, until = now, now + self._grace
                    self._received = self._received or number
                elif now - first > ECHO:
                    self._end("a second signal: left at once")
                reading.settimeout(max(until - now, 0.001))
        if numbers is None:
            self._end(f"the grace of {self._grace:g} s is over")

    def _end(self, why: str) -> None:
        code = INTERRUPTED if self._received == signal.SIGINT else START_AGAIN
        try:  # a closed stderr, a folder that is gone: nothing may keep the process
            line = f"{why}; {self.saved()}"
            print(f"skinflow: {line}", file=sys.stderr, flush=True)
            tell_peers(code, line)
        finally:
            self._leave(code)


def _received(reading: socket.socket) -> bytes | None:
    """Numbers of signals; empty when the other end is closed, None when the time is over."""
    try:
        return reading.recv(16)
    except TimeoutError:
        return None
