"""The way to JAX's coordinator, which is in process 0: its port, and a connection that stays open.

JAX aborts a process as soon as its connection to the coordinator is closed, before anyone can say
why and with a code that nothing is started again on. So each process but the first connects by a
socket of its own that passes on what comes, and that is left open when the other end is gone:
`peers.py` misses the coordinator some seconds later.
"""

import contextlib
import os
import socket
import threading
import time
import zlib
from collections.abc import Mapping

from jax._src import clusters  # where a cluster's coordinator is; jax does not export it

from skinflow_jax.errors import ConfigError

TPU_PORT = 8476
"""Of the coordinator on TPUs. JAX's own, 8482, is shut by the firewall rule that Google makes."""


def default_port(method: str, environ: Mapping[str, str] = os.environ) -> int:
    """Jobs that share a machine have ports of their own, below those that Linux hands out."""
    names = {"slurm": "SLURM_JOB_ID", "openmpi": "OMPI_MCA_orte_hnp_uri"}
    if method not in names:
        return TPU_PORT
    return 20_000 + zlib.crc32(environ.get(names[method], "").encode()) % 10_000


def check_port(port: int, found_by: str, remedy: str) -> None:
    """Raise ConfigError where the coordinator could not listen: JAX would die of a segfault."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ConfigError(
                f"{found_by}: port {port} of this machine is in use ({error.strerror}); end the "
                f"process that has it or {remedy}"
            ) from error


def address_of(method: str, timeout: int) -> str | None:
    """HOST:PORT of the coordinator, as JAX's `method` of detection has it; None if it has none."""
    kinds = {kind.name: kind for kind in clusters.ClusterEnv._cluster_types}
    with contextlib.suppress(Exception):  # JAX will say what is wrong with the environment
        return kinds[method].get_coordinator_address(timeout, os.environ["JAX_COORDINATOR_PORT"])
    return None


def held_open(address: str) -> str:
    """HOST:PORT on this machine that leads to `address`, and stays open when that is gone."""
    listener = socket.create_server(("127.0.0.1", 0))
    _in_background(_serve, listener, address)
    return f"127.0.0.1:{listener.getsockname()[1]}"


def _in_background(work, *arguments) -> None:
    threading.Thread(target=work, args=arguments, name="coordinator", daemon=True).start()


def _serve(listener: socket.socket, address: str) -> None:
    while True:
        _in_background(_join, listener.accept()[0], address)


def _join(ours: socket.socket, address: str) -> None:
    theirs = _connected(address)
    _in_background(_pass_on, theirs, ours)  # at its end ours stays open
    _pass_on(ours, theirs)
    theirs.close()


def _connected(address: str) -> socket.socket:
    """To a coordinator that may not be there yet: how long it is waited for is JAX's to say."""
    host, _, port = address.rpartition(":")
    while True:
        with contextlib.suppress(OSError):
            found = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
            found.settimeout(None)
            return found
        time.sleep(0.2)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until `source` has ended; what comes for a `target` that is gone is dropped."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            with contextlib.suppress(OSError):
                target.sendall(data)
