"""A process that leaves, is lost or hangs ends the others; the store is played here."""

import json
import threading

import pytest

from skinflow_jax.errors import START_AGAIN
from skinflow_jax.parallel import peers as module
from skinflow_jax.parallel.peers import Peers


class Store:
    """What jax's coordination service offers."""

    def __init__(self):
        self.values, self.gone = {}, False

    def key_value_set(self, key, value, allow_overwrite=False):
        if self.gone or (key in self.values and not allow_overwrite):
            raise RuntimeError(key)
        self.values[key] = value

    def key_value_try_get(self, key):
        if self.gone:
            raise RuntimeError("UNAVAILABLE")
        return self.values[key]

    def key_value_dir_get(self, key):
        return [(k, v) for k, v in self.values.items() if k.startswith(key)]


@pytest.fixture
def watched(monkeypatch, capsys):
    """Starts peers that beat fast; `left()` waits for the code that one left with, and its line."""
    monkeypatch.setattr(module, "BEAT", 0.01)
    monkeypatch.setattr(module, "GRACE", 0.05)
    started = []

    def start(store, process, **options):
        left = threading.Event()
        codes = []

        def leave(code):
            codes.append(code)
            peers.stop()
            left.set()

        peers = Peers(store, process, 2, leave=leave, **options)
        peers.start()
        started.append(peers)

        def ended():
            assert left.wait(10)
            return codes[0], capsys.readouterr().err

        peers.ended, peers.left = ended, left
        return peers

    yield start
    for peers in started:
        peers.stop()


def test_the_others_leave_with_the_code_and_message_of_the_first_that_failed(watched):
    store = Store()
    first, second = watched(store, 0), watched(store, 1)
    second.tell(1, "case-7: the reward raised")
    first.tell(42, "lost a peer")
    code, line = first.ended()
    assert code == 1 and line.startswith("skinflow: case-7: the reward raised (process 1)")


def test_a_silent_process_is_lost(watched):
    store = Store()
    first = watched(store, 0, lost=0.3)
    code, line = first.ended()
    assert code == START_AGAIN and "process 1 is lost: not heard for 0.3 s" in line


def test_without_the_store_process_0_is_lost(watched):
    store = Store()
    watched(store, 0)
    second = watched(store, 1, lost=0.3)
    store.gone = True
    code, line = second.ended()
    assert code == START_AGAIN and "process 0 has not answered for 0.3 s: it is lost" in line


def test_where_nobody_gets_on_all_leave_and_one_that_does_keeps_all(watched):
    store = Store()
    first, second = watched(store, 0, hang=0.5), watched(store, 1)
    for _ in range(20):
        second.moved()
        assert not first.left.wait(0.05)
    code, line = first.ended()
    assert code == START_AGAIN and "no process has got on for 0.5 s" in line


def test_a_process_that_is_done_is_not_missed_once_all_are(watched):
    store = Store()
    first, second = watched(store, 0, lost=0.3), watched(store, 1, lost=0.3)
    first.stop()
    second.stop()
    assert not first.left.wait(0.6)
    assert module._LEFT not in store.values


def test_what_is_told_first_counts(watched):
    store = Store()
    peers = watched(store, 1)
    peers.tell(1, "first")
    peers.tell(42, "second")
    assert json.loads(store.values[module._LEFT]) == [1, 1, "first"]
    assert peers.verdict(10) == (1, "first (process 1)")


class OutOfReach(Store):
    """Calls hang, as over a link that is down."""

    def key_value_set(self, *arguments, **options):
        threading.Event().wait(30)

    key_value_try_get = key_value_set


def test_a_store_that_hangs_keeps_nobody(watched):
    code, line = watched(OutOfReach(), 1, lost=0.3).ended()
    assert code == START_AGAIN and "process 0 has not answered" in line


def test_one_line_says_why_a_process_ends(watched):
    store = Store()
    first = watched(store, 0)
    assert first.has_last_word()
    Peers(store, 1, 2).tell(1, "the disk is full")
    assert first.ended() == (1, "")


def test_a_process_that_ends_at_once_tells_the_others_first(watched, monkeypatch):
    """As its grace is over, or a second signal has come."""
    store = Store()
    first, second = watched(store, 0), Peers(store, 1, 2)
    monkeypatch.setattr(module, "_PEERS", second)
    module.tell_peers(42, "the grace of 25 s is over; step 3 is saved")
    assert first.ended()[1].startswith("skinflow: the grace of 25 s is over; step 3 is saved (proc")
