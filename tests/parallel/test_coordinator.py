"""The way to the coordinator: who is let in, and a connection that stays open when it is gone."""

import errno
import socket
import time

import pytest

from skinflow_jax.errors import ConfigError, StartAgain
from skinflow_jax.parallel.coordinator import TPU_PORT, Entrance, Way, address_of, default_port


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = rf"slurm: port {port} of this machine is in use .* or take another"
        with pytest.raises(ConfigError, match=words):
            Entrance(port, None, "slurm", "take another")


def test_jobs_on_one_machine_have_ports_of_their_own():
    ports = {default_port("slurm", {"SLURM_JOB_ID": str(i)}) for i in range(20)}
    assert len(ports) == 20 and all(20_000 <= port < 30_000 for port in ports)
    assert default_port("gke-tpu", {}) == TPU_PORT


def test_jax_is_asked_where_the_coordinator_of_a_cluster_is(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_PORT", "1234")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[7-9]")
    assert address_of("slurm", 5) == "node7:1234"
    assert address_of("ompi", 5) is None  # not in its environment


def free_port():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]


@pytest.fixture
def entrance():
    """(port of the entrance, itself, JAX's coordinator behind it)"""
    port = free_port()
    found = Entrance(port, 3, "addresses", "take another")
    host, _, inner = found.address.partition(":")
    with socket.create_server((host, int(inner))) as coordinator:
        coordinator.settimeout(20)
        yield port, found, coordinator


def came_to(way):
    """The connection of a JAX that was given this way."""
    found = socket.create_connection(way.address.split(":"))
    found.settimeout(20)
    return found


def wait_until(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_is_said_is_passed_on_and_a_lost_coordinator_is_not_told():
    """It may come after the process that looks for it."""
    port = free_port()
    way = Way(f"127.0.0.1:{port}", 1, 2)
    ours = came_to(way)
    ours.sendall(b"who is there?")
    entrance = Entrance(port, 2, "addresses", "take another")
    host, _, inner = entrance.address.partition(":")
    with socket.create_server((host, int(inner))) as coordinator:
        theirs, _ = coordinator.accept()
        assert theirs.recv(100) == b"who is there?"
        theirs.sendall(b"process 0")
        assert ours.recv(100) == b"process 0"
        way.check()
        theirs.close()
    wait_until(lambda: way._lost)
    with pytest.raises(StartAgain, match="left as the processes were connected"):
        way.check()
    later = came_to(way)
    for connection in (
        ours,
        later,
        ours,
        ours,
    ):  # the first to a closed socket is answered by a reset
        connection.settimeout(0.5)
        connection.sendall(b"are you there?")
        with pytest.raises(TimeoutError):
            connection.recv(100)


def test_a_process_that_is_started_again_waits_until_its_run_is_gone(entrance):
    """JAX would end all processes of the run."""
    port, _, coordinator = entrance
    first, second = (Way(f"127.0.0.1:{port}", 1, 3) for _ in range(2))
    ours = came_to(first)
    ours.sendall(b"first")
    theirs = [coordinator.accept()[0]]
    assert theirs[0].recv(100) == b"first"
    again = came_to(first)  # another connection of the same process
    again.sendall(b"again")
    theirs.append(coordinator.accept()[0])
    assert theirs[1].recv(100) == b"again"
    came_to(second).sendall(b"second")
    wait_until(second.waits_for)
    assert "a process 1 is there already" in second.waits_for()
    second.check()
    coordinator.settimeout(1)
    with pytest.raises(TimeoutError):
        coordinator.accept()


def test_who_is_missing_is_known(entrance):
    port, found, coordinator = entrance
    assert found.waits_for() == "; not heard of: 1, 2"
    ours = came_to(Way(f"127.0.0.1:{port}", 2, 3))
    ours.sendall(b"x")
    theirs, _ = coordinator.accept()
    assert theirs.recv(100) == b"x"
    assert found.waits_for() == "; not heard of: 1"


def test_one_of_more_or_fewer_processes_is_refused_and_told_of(entrance):
    port, found, _ = entrance
    way = Way(f"127.0.0.1:{port}", 1, 2)
    ours = came_to(way)
    wait_until(way.waits_for)
    ours.close()
    for side in (way, found):
        with pytest.raises(ConfigError, match="--processes=3, process 1 with --processes=2"):
            side.check()


def test_one_that_jax_has_closed_is_not_a_lost_coordinator(entrance):
    port, _, coordinator = entrance
    way = Way(f"127.0.0.1:{port}", 1, 3)
    ours = came_to(way)
    ours.sendall(b"x")
    theirs, _ = coordinator.accept()
    ours.close()
    theirs.settimeout(20)
    assert theirs.recv(100) == b"x" and theirs.recv(100) == b""
    way.check()


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"process": []}\n', b"\xff\n"]
)
def test_what_is_no_process_of_ours_is_not_let_in(entrance, said):
    port, found, coordinator = entrance
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.settimeout(20)
        try:
            stranger.sendall(said)
            stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(100) == b""
        except OSError as error:  # shut out before it had said all; a time-out has no number
            assert error.errno in (errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE)
    coordinator.settimeout(0.5)
    with pytest.raises(TimeoutError):
        coordinator.accept()
    assert found.waits_for() == "; not heard of: 1, 2"
