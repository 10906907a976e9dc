"""A run that is asked to stop leaves at its next safe point; a second signal ends it at once."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from skinflow_jax.errors import Interrupted, StartAgain
from skinflow_jax.training.stop_signals import ECHO, StopSignals

PROGRAM = """
import signal, sys, time
from skinflow_jax.training.stop_signals import StopSignals
with StopSignals(grace=float(sys.argv[1])) as stop:
    stop.saved, stop.safe_points = lambda: "step 3 is saved", True
    if sys.argv[4:] == ["unknown"]:
        stop.saved = lambda: 1 / 0
    print("ready", flush=True)
    # A step on the devices: the main thread is in C and runs no Python handler.
    if sys.argv[2] == "blocked":
        import ctypes
        for _ in range(5):  # a signal ends one
            ctypes.CDLL(None).sleep(30)
    while not stop.requested:
        time.sleep(0.01)
    time.sleep(float(sys.argv[3]))
    raise stop.error()
"""


def run(signals, grace, how, rest=0.0, *more, apart=0.3):
    """(exit code or -signal, last line on stderr) after signals so many seconds apart."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(grace), how, str(rest), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    for number in signals:
        process.send_signal(number)
        time.sleep(apart)
    _, said = process.communicate(timeout=25)
    return process.returncode, said.strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGTERM, "StartAgain: SIGTERM"),
        (signal.SIGHUP, "StartAgain: SIGHUP"),
        (signal.SIGINT, "Interrupted"),
    ],
)
def test_the_first_signal_lets_the_run_reach_its_safe_point(number, error):
    _, said = run([number], 20, "polling")
    assert error in said and "step 3 is saved" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 42), (signal.SIGINT, 130)])
def test_a_second_signal_ends_the_process_at_once_even_inside_a_step(number, code):
    assert run([number, number], 20, "blocked", apart=ECHO + 0.2) == (
        code,
        "skinflow: a second signal: left at once; step 3 is saved",
    )


def test_the_same_signal_twice_at_once_is_one():
    """Sent to a process group, and passed on by what started the process."""
    assert run([signal.SIGTERM] * 3, 1.5, "blocked", apart=0.1) == (
        42,
        "skinflow: the grace of 1.5 s is over; step 3 is saved",
    )


def test_the_end_of_the_grace_ends_the_process_inside_a_step():
    assert run([signal.SIGTERM], 0.5, "blocked") == (
        42,
        "skinflow: the grace of 0.5 s is over; step 3 is saved",
    )


def test_a_process_that_cannot_say_what_is_saved_ends_all_the_same():
    assert run([signal.SIGTERM], 0.5, "blocked", 0.0, "unknown")[0] == 42


def test_code_that_takes_every_exception_for_its_own_does_not_swallow_the_signal():
    with pytest.raises(StartAgain), StopSignals(), contextlib.suppress(Exception):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, StartAgain), (signal.SIGINT, Interrupted)]
)
def test_before_the_first_step_the_signal_is_raised_where_the_program_is(number, kind):
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(kind, match="nothing is saved yet"), StopSignals():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_under_nohup_a_closed_terminal_ends_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_and_after_a_run_nothing_is_left_behind():
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with StopSignals():
            pass
    found = []

    def elsewhere():
        with StopSignals() as stop:
            found.append(stop.requested)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [False]
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, StartAgain), (signal.SIGINT, Interrupted)]
)
def test_a_signal_that_a_library_takes_for_an_error_of_its_own_stays_what_it_is(number, kind):
    """Orbax did: a sound checkpoint was called damaged, or an older one taken."""

    def library():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except BaseException as error:
            raise ValueError("no such handler") from error

    with pytest.raises(kind), StopSignals():
        library()
    with pytest.raises(kind), StopSignals() as stop:
        with contextlib.suppress(ValueError):
            library()
        stop.check()
        pytest.fail("went on")
