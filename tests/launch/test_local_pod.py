"""launch/local_pod.sh: N processes of one run here, their output, their ends."""

import signal
import socket
import subprocess
import sys

import pytest
from stand_ins import LAUNCH

PROGRAM = """
import os, signal, socket, sys, time
flags = dict(flag[2:].split("=", 1) for flag in sys.argv[2:] if flag.startswith("--"))
process = int(flags["process"])

def wait_for(code):
    def leave(*_):
        sys.exit(code)
    return leave

def code_of_each(codes):
    sys.exit(int(codes.split(",")[process]))

def environment(_):
    print(os.environ["JAX_PLATFORMS"], os.environ["XLA_FLAGS"], flags["processes"])
    print("aside", file=sys.stderr)

def first_fails(code):
    if process == 0:
        sys.exit(int(code))
    signal.signal(signal.SIGTERM, wait_for(42))
    time.sleep(60)

def deaf(_):
    if process == 0:
        sys.exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)

def signalled(_):
    signal.signal(signal.SIGTERM, wait_for(42))
    signal.signal(signal.SIGHUP, wait_for(42))
    print("ready", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(130)

def meet(_):
    host, port = flags["coordinator"].split(":")
    if process == 0:
        with socket.create_server((host, int(port))) as server:
            server.settimeout(30)
            for _ in range(int(flags["processes"]) - 1):
                server.accept()[0].close()
        return
    for _ in range(300):
        try:
            return socket.create_connection((host, int(port))).close()
        except OSError:
            time.sleep(0.1)
    sys.exit(1)

name, _, argument = sys.argv[1].partition(":")
globals()[name](argument)
"""


@pytest.fixture
def pod(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def command(what, *flags, processes=2):
        script = ["bash", LAUNCH / "local_pod.sh", str(processes), *flags, "--"]
        return [*map(str, script), sys.executable, str(program), what]

    return command


def run(command):
    return subprocess.run(
        command, text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL
    )


def start_when_ready(command, count):
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(count):
        assert process.stdout.readline().endswith("ready\n")
    return process


@pytest.mark.parametrize(
    ("codes", "gravest"),
    [
        ("0,0", 0),
        ("0,42", 42),
        ("42,1", 1),
        ("1,2", 2),
        ("2,42", 2),
        ("42,137", 42),
        ("130,42", 130),
        ("0,139", 139),
        ("42,3", 3),
    ],
)
def test_the_exit_code_is_the_gravest(pod, codes, gravest):
    assert run(pod(f"code_of_each:{codes}")).returncode == gravest


def test_each_process_has_its_devices_and_its_lines_their_number(pod, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    done = run(pod("environment", "--devices=3", processes=3))
    assert done.returncode == 0
    lines = sorted(done.stdout.splitlines())
    assert [line[:3] for line in lines] == ["[0]", "[1]", "[2]"]
    assert all(line.endswith("device_count=3 3") and " cpu " in line for line in lines)
    assert sorted(done.stderr.splitlines()) == ["[0] aside", "[1] aside", "[2] aside"]


def test_logs_go_to_a_folder_and_the_first_process_here_as_well(pod, tmp_path):
    done = run(pod("environment", f"--logs={tmp_path / 'logs'}"))
    assert done.stdout.splitlines()[0].startswith("cpu ")
    assert len(done.stdout.splitlines()) == 1
    for process in range(2):
        log = (tmp_path / "logs" / f"process_{process}.log").read_text()
        assert "aside" in log
        assert "cpu" in log


def test_processes_meet_at_the_coordinator(pod):
    assert run(pod("meet", processes=3)).returncode == 0


def test_one_failure_ends_the_others_after_a_time(pod):
    done = run(pod("first_fails:1", "--patience=1"))
    assert done.returncode == 1
    assert "exit codes of processes 0 to 1: 1 42" in done.stderr


def test_a_process_that_is_deaf_is_killed_in_the_end(pod):
    done = run(pod("deaf", "--patience=1"))
    assert done.returncode == 1
    assert "1 137" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 42), (signal.SIGINT, 130), (signal.SIGHUP, 42)]
)
def test_signals_reach_all(pod, number, code):
    process = start_when_ready(pod("signalled", processes=3), 3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert f"{code} {code} {code}" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["0", "--", "true"], "number of processes"),
        (["two", "--", "true"], "number of processes"),
        (["2", "--devices=x", "--", "true"], "--devices"),
        (["2", "--devices=99999999999", "--", "true"], "too large"),
        (["2", "--port=99999", "--", "true"], "65535"),
        (["2"], "no command"),
        (["2", "true"], "after --"),
        (["2", "--", "no-such-command"], "not a command"),
        (["2", "--verbose", "--", "true"], "unknown flag"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, said):
    done = run(["bash", str(LAUNCH / "local_pod.sh"), *arguments])
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_terminal_that_is_gone_does_not_keep_them_from_their_codes(pod):
    process = start_when_ready(pod("signalled", processes=2), 2)
    process.stdout.close()
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 42


def test_a_port_in_use_is_refused(pod):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(pod("environment", f"--port={taken.getsockname()[1]}"))
    assert done.returncode != 0
    assert "is in use" in done.stderr


def test_a_dry_run_prints_each_process_and_starts_none(pod):
    done = run(pod("it's", "--dry-run", "--port=4242"))
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["--process=0", "--process=1"]
    assert all("--coordinator=127.0.0.1:4242" in line and "it\\'s" in line for line in lines)
