"""Start-up of a command on several processes: how this one finds the others, and proof that it has.

JAX would detect a cluster by itself, but takes the first whose variables are set: left over from
Slurm or Open MPI they win against a TPU pod's. Here the method is named, and what was found is
printed after a first all-gather: `jax.device_count()` looks right even where nothing was started.
"""

import glob
import importlib.util
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import jax
from jax._src import distributed  # the key-value store, see peers.py

from skinflow_jax.errors import ConfigError, RunError, StartAgain, one_line
from skinflow_jax.parallel.agreement import gather
from skinflow_jax.parallel.broken_operations import broken_operation
from skinflow_jax.parallel.coordinator import Entrance, Way, address_of, default_port

# Names on the command line, and those of jax.distributed.
CLUSTERS = {"gke-tpu": "gketpu", "cloud-tpu": "gcetpu", "slurm": "slurm", "openmpi": "ompi"}
HEARTBEAT = 90
"""Seconds after which JAX takes a silent process for dead. It aborted from half of it on; peers.py
is faster."""


@dataclass(frozen=True)
class Cluster:
    """How the processes find each other: by a name of CLUSTERS, or by addresses given."""

    method: str | None = None
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None

    def __str__(self) -> str:
        return self.method or f"--coordinator={self.coordinator}"


def find_cluster(
    method: str = "auto",
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Cluster | None:
    """What a command's arguments and its environment say; None for one process alone.

    Addresses that are given come first, then a TPU's own variables and devices, then Slurm's and
    Open MPI's. Raises ConfigError where arguments are missing, contradict each other or the
    environment.
    """
    given = {"--coordinator": coordinator, "--processes": processes, "--process": process}
    if any(value is not None for value in given.values()):
        if method == "none":
            raise ConfigError("--cluster=none is one process: leave its addresses out, or it")
        if method != "auto":
            raise ConfigError(f"--cluster={method} finds the addresses itself: leave them out")
        return _by_address(given, coordinator, processes, process)
    present = {
        "gke-tpu": _has_tpu(environ)
        and any(name in environ for name in ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")),
        "cloud-tpu": _has_tpu(environ) and "TPU_SKIP_MDS_QUERY" not in environ,
        # Of srun's own step: a batch script has the others too, but is one process.
        "slurm": _number(environ, "SLURM_STEP_NUM_TASKS") > 1 and "SLURM_PROCID" in environ,
        "openmpi": _number(environ, "OMPI_COMM_WORLD_SIZE") > 1,
    }
    if method == "none":
        return None
    if method == "auto":
        found = next((name for name, there in present.items() if there), None)
        return None if found is None else Cluster(found)
    if not present[method]:
        raise ConfigError(
            f"--cluster={method}: this process has not been started by it; take --cluster=auto, or "
            "give --coordinator, --processes and --process"
        )
    return Cluster(method)


def process_number(cluster: Cluster, environ: Mapping[str, str] = os.environ) -> int:
    """Which process this is, without connecting it with the others; see `find_cluster`."""
    if cluster.process is not None:
        return cluster.process
    if cluster.method == "gke-tpu":
        workers = environ.get("TPU_PROCESS_ADDRESSES", environ.get("TPU_WORKER_HOSTNAMES", ""))
        slices = _number(environ, "MEGASCALE_SLICE_ID") * len(workers.split(","))
        return slices + _number(environ, "TPU_WORKER_ID")
    if cluster.method == "cloud-tpu":
        return _worker_number()
    return _number(
        environ, {"slurm": "SLURM_PROCID", "openmpi": "OMPI_COMM_WORLD_RANK"}[cluster.method]
    )


def _worker_number() -> int:
    """Of a Cloud TPU's own metadata; 0 where it states none, on a machine that is alone.

    Raises RunError where the metadata cannot be asked: every machine would be the first.
    """
    path = (
        "http://metadata.google.internal/computeMetadata/v1/instance/attributes/agent-worker-number"
    )
    request = urllib.request.Request(path, headers={"Metadata-Flavor": "Google"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return 0
        raise _no_metadata(error) from error
    except OSError as error:
        raise _no_metadata(error) from error
    return int(text) if text.isdecimal() else 0


def _no_metadata(error: OSError) -> RunError:
    return RunError(
        f"which worker {socket.gethostname()} is cannot be asked of its metadata ({error}); give "
        "--coordinator, --processes and --process, or --cluster=none for one machine"
    )


def start_processes(cluster: Cluster, *, timeout: int) -> str:
    """Connect this process with the others; a line that says what was found.

    Called before anything else touches JAX's devices. Raises ConfigError where the port is in use
    or JAX does not understand the environment, RunError where this machine's devices cannot be
    used, StartAgain where the others do not answer within `timeout` seconds.
    """
    # JAX would take SIGTERM for itself.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    found = _in_time(cluster, _coordinator(cluster, timeout), timeout)
    kind = jax.local_devices()[0].device_kind
    per = "+".join(map(str, sorted({count for _, count in found})))
    # Which machine has it is not to be known before: a TPU numbers them by itself.
    first = "this one" if first_process() else f"the one on {found[0][0]}"
    return (
        f"{len(found)} processes x {per} devices ({kind}), found by {cluster}; this is process "
        f"{jax.process_index()} on {socket.gethostname()}; {first} prints what all do"
    )


def first_process() -> bool:
    """Whether this process is the one that people look at.

    Where nothing was started it takes no hold of the devices, as jax.process_index() would.
    """
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def _by_address(given: Mapping, coordinator, processes, process) -> Cluster:
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} must be given too: the three belong together")
    host, colon, port = coordinator.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(f"--coordinator={coordinator} is no HOST:PORT such as 10.0.0.2:8476")
    if processes < 1 or not 0 <= process < processes:
        raise ConfigError(
            f"--process={process} of --processes={processes}: must be from 0 to {processes - 1}"
        )
    return Cluster(None, coordinator, processes, process)


def _has_tpu(environ: Mapping[str, str]) -> bool:
    if environ.get("JAX_PLATFORMS", "tpu").split(",")[0] != "tpu":
        return False
    devices = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(devices) and importlib.util.find_spec("libtpu") is not None


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else 0


def _local_devices(environ: Mapping[str, str]) -> list[int] | None:
    """JAX gives each of Slurm's tasks one GPU; a task that is alone on its node has all of them."""
    visible = environ.get("CUDA_VISIBLE_DEVICES", "")
    count = len(visible.split(",")) if visible else _number(environ, "SLURM_GPUS_ON_NODE")
    tasks = environ.get("SLURM_STEP_TASKS_PER_NODE", environ.get("SLURM_TASKS_PER_NODE", ""))
    alone = tasks.split("(")[0].split(",")[0] == "1"
    return list(range(count)) if count and (alone or count == 1) else None


_LATE = ("DEADLINE_EXCEEDED", "UNAVAILABLE", "timed out", "Timed out")


def _start_error(cluster: Cluster, error: Exception, timeout: int) -> BaseException:
    told = one_line(error)
    if "initialize backend" in told:
        return RunError(
            f"the devices of {socket.gethostname()} cannot be used ({told}); see that no other "
            "process there holds them"
        )
    broken = broken_operation(error)
    if (broken is not None and broken[1]) or any(word in told for word in _LATE):
        own = "; let each machine's name lead to its own address" * ("remote=[127." in str(error))
        return StartAgain(f"{_not_answered(cluster, timeout)} ({told}){own}")
    return ConfigError(
        f"processes cannot be connected by {cluster}: {told}; give --coordinator, --processes and "
        "--process, or --cluster=none for one process"
    )


def _coordinator(cluster: Cluster, timeout: int) -> Entrance | Way | None:
    """What leads to the coordinator; None leaves it to JAX to say why there is none."""
    address, method, number = cluster.coordinator, cluster.method, process_number(cluster)
    if method is not None:
        port = os.environ.setdefault("JAX_COORDINATOR_PORT", str(default_port(method)))
    if number == 0:
        used = port if address is None else address.rpartition(":")[2]
        remedy = "set JAX_COORDINATOR_PORT on all" if address is None else "take another port"
        return Entrance(int(used), cluster.processes, str(cluster), remedy)
    address = address or address_of(CLUSTERS[method], timeout)
    return address and Way(address, number, cluster.processes)


def _in_time(
    cluster: Cluster, coordinator: Entrance | Way | None, timeout: int
) -> list[tuple[str, int]]:
    """`_connect`, in a thread: JAX would abort the process where the others do not come in time."""
    found: list = []

    def connect() -> None:
        try:
            found.append(_connect(cluster, coordinator, timeout))
        except Exception as error:  # jax's own kinds differ between versions
            found.append(error)

    thread = threading.Thread(target=connect, name="connecting", daemon=True)
    thread.start()
    until = time.monotonic() + timeout
    while thread.is_alive() and time.monotonic() < until:
        thread.join(0.2)
        if coordinator is not None and not found:
            coordinator.check()
    if not found:
        waits = "" if coordinator is None else coordinator.waits_for()
        raise StartAgain(f"{_not_answered(cluster, timeout)}{waits}")
    if isinstance(found[0], ConfigError):
        raise found[0]
    if isinstance(found[0], Exception):
        raise _start_error(cluster, found[0], timeout) from found[0]
    return found[0]


def _connect(
    cluster: Cluster, coordinator: Entrance | Way | None, timeout: int
) -> list[tuple[str, int]]:
    """(host, number of its devices) of each process, by a first all-gather."""
    jax.distributed.initialize(
        coordinator_address=coordinator and coordinator.address,
        coordinator_bind_address=coordinator.address if isinstance(coordinator, Entrance) else None,
        num_processes=cluster.processes,
        process_id=cluster.process,
        local_device_ids=_local_devices(os.environ) if cluster.method == "slurm" else None,
        cluster_detection_method=CLUSTERS.get(cluster.method, "deactivate"),
        initialization_timeout=2 * timeout,  # ours is over before
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=HEARTBEAT,
    )
    _check_devices(timeout)
    return gather((socket.gethostname(), jax.local_device_count()))


def _check_devices(timeout: int) -> None:
    """Raise ConfigError, in all processes, where they have not equally many devices."""
    store, number = distributed.global_state.client, distributed.global_state.process_id
    count, key = jax.local_device_count(), "skinflow/devices/{}"
    store.key_value_set(key.format(number), f"{count} {socket.gethostname()}")
    others = [
        store.blocking_key_value_get(key.format(i), 1000 * timeout).partition(" ")
        for i in range(distributed.global_state.num_processes)
    ]
    if len({count for count, _, _ in others}) > 1:
        told = ", ".join(
            f"process {i} on {host} has {count}" for i, (count, _, host) in enumerate(others)
        )
        raise ConfigError(f"processes must have equally many devices: {told}")


def _not_answered(cluster: Cluster, timeout: int) -> str:
    told = f"not all processes answered within {timeout} s, found by {cluster}"
    port = os.environ.get("JAX_COORDINATOR_PORT")
    told += f", port {port}" if port and not cluster.coordinator else ""
    stale = sorted(name for name in os.environ if name.startswith("MEGASCALE_"))
    if stale:
        told += f"; unset {', '.join(stale)} unless this job has several slices"
    return f"{told}; see that each machine runs the command and that the port is open between them"
