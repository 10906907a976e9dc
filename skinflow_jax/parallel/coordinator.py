"""The way to JAX's coordinator, in process 0: who is let in, and connections that stay open.

JAX ends all processes, by an abort that says nothing to people, where one of them is started a
second time while the run still lives, or where its connection to the coordinator is closed. So each
process goes there by a relay of its own and one in process 0. The latter lets one process of each
number in; others wait until that run is gone. The former stays open when the coordinator is gone:
`peers.py` misses it some seconds later.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
import zlib
from collections.abc import Mapping

from jax._src import clusters  # where a cluster's coordinator is; jax does not export it

from skinflow_jax.errors import ConfigError, StartAgain

TPU_PORT = 8476
"""Of the coordinator on TPUs. JAX's own, 8482, is shut by the firewall rule that Google makes."""


def default_port(method: str, environ: Mapping[str, str] = os.environ) -> int:
    """Jobs that share a machine have ports of their own, below those that Linux hands out."""
    names = {"slurm": "SLURM_JOB_ID", "openmpi": "OMPI_MCA_orte_hnp_uri"}
    if method not in names:
        return TPU_PORT
    return 20_000 + zlib.crc32(environ.get(names[method], "").encode()) % 10_000


class Entrance:
    """In process 0: listens on the coordinator's port and lets processes in to JAX's own.

    Raises ConfigError where the port is in use.

    Args:
      port: of this machine.
      processes: how many there are; None where only JAX knows.
      found_by: how the processes find each other, for messages.
      remedy: what to do about a port in use.
    """

    def __init__(self, port: int, processes: int | None, found_by: str, remedy: str):
        self._processes, self._lock = processes, threading.Lock()
        self._inside: dict[int, str] = {}
        self._wrong = ""
        try:
            listener = _listening(port)
        except OSError as error:
            told = os.strerror(error.errno)
            raise ConfigError(
                f"{found_by}: port {port} of this machine is in use ({told}); end the process that "
                f"has it or {remedy}"
            ) from error
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        """Where JAX's coordinator is to listen."""
        _in_background(self._serve, listener)

    def check(self) -> None:
        """Raise ConfigError where another process was started as one of more or fewer."""
        if self._wrong:
            raise ConfigError(self._wrong)

    def waits_for(self) -> str:
        """What is still to come, for a message."""
        with self._lock:
            there = {0, *self._inside}
        missing = [i for i in range(self._processes or 0) if i not in there]
        return f"; not heard of: {', '.join(map(str, missing))}" if missing else ""

    def _serve(self, listener: socket.socket) -> None:
        while True:
            _in_background(self._join, listener.accept()[0])

    def _join(self, theirs: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            theirs.settimeout(_HELLO)
            answer = self._answer(json.loads(_line(theirs)))
            theirs.sendall(json.dumps(answer).encode() + b"\n")
            if not answer:
                theirs.settimeout(None)
                _joined(theirs, _connected(self.address))
        _end(theirs)

    def _answer(self, hello: dict) -> dict:
        """Empty where who says `hello` may come in, else why not."""
        number, start, processes = int(hello["process"]), hello["start"], hello["processes"]
        if None not in (processes, self._processes) and processes != self._processes:
            self._wrong = (
                f"process 0 was started with --processes={self._processes}, process {number} with "
                f"--processes={processes}: start all with the same"
            )
            return {"refused": self._wrong, "for good": True}
        with self._lock:
            if number == 0 or self._inside.setdefault(number, start) != start:
                return {
                    "refused": f"a process {number} is there already: of a run that is ending, or "
                    "two have one number or one coordinator"
                }
        return {}


class Way:
    """In the other processes: leads to the coordinator at `target`, and stays open when it is gone.

    Args:
      target: HOST:PORT of the entrance.
      process: this process's number.
      processes: how many there are; None where only JAX knows.
    """

    def __init__(self, target: str, process: int, processes: int | None):
        self._target, self._refused, self._lost, self._kept = target, {}, False, []
        hello = {"process": process, "processes": processes, "start": secrets.token_hex(8)}
        self._hello = json.dumps(hello).encode() + b"\n"
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        """Where JAX finds the coordinator."""
        _in_background(self._serve, listener)

    def check(self) -> None:
        """Raise ConfigError where this process is refused for good, StartAgain where it is late."""
        if "for good" in self._refused:
            raise ConfigError(self._refused["refused"])
        if self._lost:
            raise StartAgain(f"process 0 at {self._target} left as the processes were connected")

    def waits_for(self) -> str:
        """What is still to come, for a message."""
        return f"; {self._refused['refused']}" if self._refused else ""

    def _serve(self, listener: socket.socket) -> None:
        while True:
            _in_background(self._join, listener.accept()[0])

    def _join(self, ours: socket.socket) -> None:
        # One that has been let in belongs to that run: another's coordinator is not its own.
        while not self._lost:
            theirs = _connected(self._target)
            with contextlib.suppress(OSError, ValueError):
                theirs.settimeout(_HELLO)
                theirs.sendall(self._hello)
                self._refused = json.loads(_line(theirs))
                if not self._refused:
                    theirs.settimeout(None)
                    if _joined(ours, theirs):
                        return  # JAX has closed it
                    self._lost = True
            _end(theirs)
            time.sleep(_AGAIN)
        self._kept.append(ours)  # a socket that nobody holds is closed


_HELLO = 10.0
"""Seconds that the other end has to say who it is."""
_AGAIN = 0.5
"""Seconds between two attempts."""


def _listening(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # a machine without IPv6, or the port is in use
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _line(source: socket.socket) -> bytes:
    """Byte by byte: what comes after it is JAX's."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 1000:
        byte = source.recv(1)
        if not byte:
            raise ConnectionResetError
        line += byte
    return line


def address_of(method: str, timeout: int) -> str | None:
    """HOST:PORT of the coordinator, as JAX's `method` of detection has it; None if it has none."""
    kinds = {kind.name: kind for kind in clusters.ClusterEnv._cluster_types}
    with contextlib.suppress(Exception):  # JAX will say what is wrong with the environment
        return kinds[method].get_coordinator_address(timeout, os.environ["JAX_COORDINATOR_PORT"])
    return None


def _in_background(work, *arguments) -> None:
    threading.Thread(target=work, args=arguments, name="coordinator", daemon=True).start()


def _connected(address: str) -> socket.socket:
    """To one that may not be there yet: how long it is waited for is the caller's to say."""
    host, _, port = address.rpartition(":")
    while True:
        with contextlib.suppress(OSError):
            found = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
            found.settimeout(None)
            return found
        time.sleep(0.2)


def _joined(ours: socket.socket, theirs: socket.socket) -> bool:
    """What comes from one goes to the other, until one has ended; whether that is ours.

    Theirs is closed then; ours stays open.
    """
    ended = threading.Event()

    def forth() -> None:
        _pass_on(ours, theirs)
        ended.set()
        _end(theirs)

    _in_background(forth)
    _pass_on(theirs, ours)
    over = ended.is_set()
    _end(theirs)
    return over


def _end(connection: socket.socket) -> None:
    """At once, though another thread may read from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until `source` has ended; what comes for a `target` that is gone is dropped."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            with contextlib.suppress(OSError):
                target.sendall(data)
