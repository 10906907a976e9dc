"""Processes that leave tell the others, and a process that is gone is missed.

JAX ends all processes when one is lost, by an abort that says neither why nor what to do, and lets
those wait whose peer failed and waits itself. Here each process has a thread that tells the
coordinator that it is alive and asks whether another has left. All leave with the code and the
message of the first that failed; where one is missed, or none gets on, with "start me again".
"""

import contextlib
import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

import jax
from jax._src import distributed  # the key-value store, which jax does not export; Orbax has it so
from jax.experimental import multihost_utils

from skinflow_jax.errors import FAILED_RUN, START_AGAIN, one_line, printable
from skinflow_jax.parallel.broken_operations import broken_operation

BEAT = 1.0
"""Seconds between two signs of life."""
LOST = 20.0
"""Seconds without one after which a process is lost; JAX aborts later (`processes.HEARTBEAT`)."""
HANG = 1800.0
"""Seconds in which no process has got on, after which all leave."""
GRACE = 2.0
"""Seconds in which a process may end by itself once another has left."""

_LEFT, _ALIVE = "skinflow/left", "skinflow/alive/"


class Peers:
    """The other processes of a command.

    Args:
      store: of jax's coordination service; another one in tests.
      process: which this is.
      count: how many there are.
      leave: ends the process with a code, at once.
      lost: seconds, see LOST.
      hang: seconds, see HANG.
    """

    def __init__(
        self,
        store,
        process: int,
        count: int,
        *,
        leave: Callable[[int], None] = os._exit,
        lost: float = LOST,
        hang: float = HANG,
    ):
        self._store, self._process, self._count = store, process, count
        self._leave, self._lost, self._hang = leave, lost, hang
        self._moves, self._done = 0, threading.Event()
        self._beats: dict[str, tuple[str, float]] = {}
        self._reached, self._told = time.monotonic(), None
        self._last_word = threading.Lock()

    def moved(self) -> None:
        """This process has got on: a step, a program compiled, a batch evaluated."""
        self._moves += 1

    def tell(self, code: int, message: str) -> None:
        """This process leaves with `code`: the others shall too. The first that tells counts."""
        told = json.dumps([self._process, code, message])
        with contextlib.suppress(Exception):  # it is known already, or there is nobody to tell
            self._store.key_value_set(_LEFT, told)

    def verdict(self, wait: float = 0.0) -> tuple[int, str] | None:
        """(code, line) of what ends all; None if nothing has come up within `wait` seconds."""
        until = time.monotonic() + wait
        while True:
            if self._told is not None:
                process, code, message = self._told
                return code, f"{message} (process {process})"
            if time.monotonic() - self._reached > self._lost:
                return START_AGAIN, f"process 0 has not answered for {self._lost:g} s: it is lost"
            if time.monotonic() > until:
                return None
            time.sleep(0.1)

    def has_last_word(self) -> bool:
        """Whether the caller may say why this process ends: one line does, the first that asks."""
        return self._last_word.acquire(blocking=False)

    def start(self) -> None:
        """Watch until `stop`, by two threads: a store out of reach may hold the one that calls."""
        for work in (self._beat, self._watch):
            threading.Thread(target=work, name=f"peers{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """The command is done: nobody is missed any more."""
        self._done.set()

    def linger(self) -> None:
        """Before an end: the store is in process 0, and the others have to read in it why."""
        if self._process == 0:
            time.sleep(2 * BEAT)

    def _beat(self) -> None:
        number = 0
        while not self._done.wait(BEAT):
            number += 1
            with contextlib.suppress(Exception):
                key, sign = f"{_ALIVE}{self._process}", f"{number} {self._moves}"
                self._store.key_value_set(key, sign, allow_overwrite=True)
                self._reached = time.monotonic()
            with contextlib.suppress(Exception):  # not there yet, or no store any more
                self._told = json.loads(self._store.key_value_try_get(_LEFT))

    def _watch(self) -> None:
        moved = time.monotonic()
        while not self._done.wait(BEAT):
            found = self.verdict()
            if found is None and self._process == 0:
                gone, got_on = self._look()
                moved = time.monotonic() if got_on else moved
                if gone:
                    self.tell(
                        START_AGAIN, f"process {gone[0]} is lost: not heard for {self._lost:g} s"
                    )
                elif time.monotonic() - moved > self._hang:
                    self.tell(START_AGAIN, f"no process has got on for {self._hang:g} s")
            if found is not None:
                self._end(*found)

    def _look(self) -> tuple[list[int], bool]:
        """(processes not heard of for long, whether any has got on)."""
        now, got_on = time.monotonic(), False
        with contextlib.suppress(Exception):
            for key, value in self._store.key_value_dir_get(_ALIVE):
                before, _ = self._beats.get(key, ("", 0.0))
                got_on |= before.partition(" ")[2] != value.partition(" ")[2]
                if value != before:
                    self._beats[key] = (value, now)
        keys = ((i, f"{_ALIVE}{i}") for i in range(self._count))
        lost = [
            i for i, key in keys if now - self._beats.setdefault(key, ("", now))[1] > self._lost
        ]
        return lost, got_on

    def _end(self, code: int, line: str) -> None:
        """Leave, unless the main thread does by itself."""
        if self._done.wait(GRACE):
            return
        try:
            if "got on" in line:
                with contextlib.suppress(Exception):
                    faulthandler.dump_traceback()
            if self.has_last_word():
                print("skinflow:", printable(line), file=sys.stderr, flush=True)
            self.linger()
        finally:
            self._leave(code)


_PEERS: Peers | None = None


@contextlib.contextmanager
def among_peers(outcome: Callable[[BaseException], tuple[int, str] | None]) -> Iterator[None]:
    """A command among several processes: its failure ends all of them, and theirs ends it.

    `outcome` gives the exit code and the line of an error, None for a defect. Such a process leaves
    with it at once: JAX would wait for the others, which may wait for this one. Without several
    processes nothing is done.
    """
    global _PEERS
    if jax.process_count() == 1:
        yield
        return
    # The coordinator's numbers: on a TPU jax.process_index() follows where the chips are.
    client, process = distributed.global_state.client, distributed.global_state.process_id
    _PEERS = peers = Peers(client, process, jax.process_count())
    peers.start()
    try:
        yield
        multihost_utils.sync_global_devices("the command is done")
    except BaseException as error:
        code, line = _why(error, outcome, peers)
        peers.tell(code, line)
        peers.stop()  # else its own news would end it a second time
        if peers.has_last_word():
            print("skinflow:", printable(" ".join(line.splitlines())), file=sys.stderr)
        # The store is in process 0: the others read in it why.
        leave_at_once(code, linger=2 * BEAT + GRACE if process == 0 else 0.0)
    finally:
        peers.stop()
        _PEERS = None


def moved() -> None:
    """See `Peers.moved`; nothing where there are no peers."""
    if _PEERS is not None:
        _PEERS.moved()


def tell_peers(code: int, message: str) -> None:
    """See `Peers.tell`, for what ends the process at once: within seconds all know of it.

    Nothing where there are no peers.
    """
    peers = _PEERS
    if peers is None:
        return
    peers.has_last_word()  # the caller has said it
    told = threading.Thread(target=peers.tell, args=(code, message), daemon=True)
    told.start()
    told.join(2 * BEAT)  # not for ever, where the others are out of reach
    peers.linger()


def leave_at_once(code: int, *, linger: float = 0.0) -> None:
    """End the process without waiting for the others; what was printed is written."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    time.sleep(linger)
    os._exit(code)


def _why(error: BaseException, outcome, peers: Peers) -> tuple[int, str]:
    """What to leave with: an operation that broke since another process left says why that did."""
    broken = broken_operation(error)
    if broken is not None:
        operation, sure = broken
        found = peers.verdict(2 * BEAT if sure else LOST + 2 * BEAT)
        if sure or found:
            return found or (START_AGAIN, f"lost another process: {one_line(operation)}")
    known = outcome(error)
    if known is None:
        traceback.print_exception(error)
        return FAILED_RUN, one_line(error)
    return known
