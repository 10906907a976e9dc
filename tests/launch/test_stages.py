"""launch/stages.sh: the runs in order, going on at the unfinished one."""

import shlex
import signal
import subprocess
import sys

import pytest
from stand_ins import LAUNCH, StandIns

NAMES = ["skinflow_7b_warmup", "skinflow_7b_stage1", "skinflow_7b_stage2"]


def skinflow(tmp_path, *answers):
    return StandIns(tmp_path / "bin", "skinflow", answers=answers)


def expected(root, *more):
    before = None
    for name in NAMES:
        start = [] if before is None else [f"--config.model.init_from={before}"]
        before = f"{root}/{name}"
        flags = [f"--config={name}", f"--workdir={before}", "--resume", *start, *more]
        yield ["skinflow", "train", *flags]


def test_each_stage_starts_from_the_one_before(tmp_path):
    commands = skinflow(tmp_path)
    done = commands.run("stages.sh", "--root=gs://b/runs/", "--", "--grace=60")
    assert done.returncode == 0
    assert commands.calls() == [*expected("gs://b/runs", "--grace=60")]


def test_a_dry_run_prints_what_a_run_calls(tmp_path):
    commands = skinflow(tmp_path)
    flags = ["--root=my runs", "--records=/data"]
    dry = commands.run("stages.sh", "--dry-run", *flags)
    assert commands.calls() == []
    commands.run("stages.sh", *flags)
    assert [shlex.split(line) for line in dry.stdout.splitlines()] == commands.calls()


def test_configs_of_ones_own_and_a_start(tmp_path):
    commands = skinflow(tmp_path)
    commands.run("stages.sh", "--root=r", "--stages=configs/a.py b", "--init-from=model")
    train = ["skinflow", "train"]
    first = ["--config=configs/a.py", "--workdir=r/a", "--resume"]
    second = ["--config=b", "--workdir=r/b", "--resume"]
    assert commands.calls() == [
        [*train, *first, "--config.model.init_from=model"],
        [*train, *second, "--config.model.init_from=r/a"],
    ]


@pytest.mark.parametrize("code", [1, 2, 42])
def test_it_ends_with_the_code_of_the_first_stage_that_fails(tmp_path, code):
    commands = skinflow(tmp_path, ["skinflow_7b_stage1", [{"code": code}, {}]])
    assert commands.run("stages.sh", "--root=r").returncode == code
    assert len(commands.calls()) == 2
    # A finished stage returns at once with 0.
    assert commands.run("stages.sh", "--root=r").returncode == 0
    assert len(commands.calls()) == 5


def test_how_processes_meet_goes_to_each_stage_with_or_without_flags_of_ones_own(tmp_path):
    meeting = ["--coordinator=a:1", "--processes=2", "--process=1"]
    commands = skinflow(tmp_path)
    commands.run("stages.sh", "--root=r", *meeting)
    assert commands.calls() == [*expected("r", *meeting)]
    commands.run("stages.sh", "--root=r", "--", "--grace=60", *meeting)
    assert commands.calls()[3:] == [*expected("r", "--grace=60", *meeting)]


SLOW = """#!{python}
import signal, sys, time
def leave(number, _):
    time.sleep(0.3)
    sys.exit({code})
signal.signal(signal.{name}, leave)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [("SIGTERM", 42, 42), ("SIGINT", 130, 130), ("SIGTERM", 0, 42), ("SIGHUP", 42, 42)],
)
def test_a_signal_reaches_python_and_no_further_stage_starts(tmp_path, name, code, expected):
    commands = skinflow(tmp_path)
    program = commands.folder / "skinflow"
    program.write_text(SLOW.format(python=sys.executable, name=name, code=code))
    process = subprocess.Popen(
        ["bash", LAUNCH / "stages.sh", "--root=r"],
        env=commands.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line == "ready\n":
            break
    process.send_signal(getattr(signal, name))
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == expected
    assert rest == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--root"),
        (["--root=r", "--stages= "], "no stage"),
        (["--root=r", "--steps=3"], "after --"),
        (["--root", "r"], "write --root=VALUE"),
        (["--root=r", "r"], "unknown argument 'r'"),
        (["--root=r", "--stages=a/x.py b/x.py"], "two stages in one workdir, r/x"),
        (["--root=r", "--stages=a/x.py b c/x.py"], "two stages in one workdir, r/x"),
        (["--root=r", "--stages=a b", "--init-from=r/b/"], "two stages in one workdir, r/b"),
        (["--root=r", "--stages=*"], "'*' names no config"),
        (["--root=r", "--stages=configs/"], "'configs/' names no config"),
        (["--root=gs://"], "--root"),
        (["--root=r", "--", "--config.model.init_from", "x"], "--init-from"),
        (["--root=r", "--", "--workdir=x"], "set for each stage"),
        (["--root=r", "--", "--config.model.init_from=x"], "--init-from"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, arguments, said):
    commands = skinflow(tmp_path)
    done = commands.run("stages.sh", *arguments)
    assert done.returncode == 2
    assert commands.calls() == []
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
