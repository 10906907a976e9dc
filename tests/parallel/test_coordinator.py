"""The port of the coordinator, and a connection to it that stays open when it is gone."""

import socket

import pytest

from skinflow_jax.errors import ConfigError
from skinflow_jax.parallel.coordinator import (
    TPU_PORT,
    address_of,
    check_port,
    default_port,
    held_open,
)


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = rf"slurm: port {port} of this machine is in use .* or take another"
        with pytest.raises(ConfigError, match=words):
            check_port(port, "slurm", "take another")


def test_jobs_on_one_machine_have_ports_of_their_own():
    ports = {default_port("slurm", {"SLURM_JOB_ID": str(i)}) for i in range(20)}
    assert len(ports) == 20 and all(20_000 <= port < 30_000 for port in ports)
    assert default_port("gke-tpu", {}) == TPU_PORT


def test_jax_is_asked_where_the_coordinator_of_a_cluster_is(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_PORT", "1234")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[7-9]")
    assert address_of("slurm", 5) == "node7:1234"
    assert address_of("ompi", 5) is None  # not in its environment


def test_what_is_said_is_passed_on_and_a_lost_coordinator_is_not_told():
    """It may come after the process that looks for it."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    ours = socket.create_connection(held_open(f"127.0.0.1:{port}").split(":"))
    ours.sendall(b"who is there?")
    with socket.create_server(("127.0.0.1", port)) as coordinator:
        theirs, _ = coordinator.accept()
        assert theirs.recv(100) == b"who is there?"
        theirs.sendall(b"process 0")
        assert ours.recv(100) == b"process 0"
        theirs.close()
    ours.settimeout(0.5)
    for _ in range(3):  # the first that is sent to a closed socket is answered by a reset
        ours.sendall(b"are you there?")
        with pytest.raises(TimeoutError):
            ours.recv(100)
