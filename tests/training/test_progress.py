"""Progress on a terminal, in a log, and on the other processes; time is a counter here."""

import io

import jax
import pytest
from rich.console import Console

from skinflow_jax.training.progress import Progress, track, track_counts


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def log():
    return Console(file=io.StringIO(), width=80)


def terminal(width=80):
    return Console(file=Terminal(), force_terminal=True, width=width, color_system=None)


def lines(console):
    return console.file.getvalue().splitlines()


def test_a_log_gets_a_line_every_so_many_seconds_and_one_at_the_end():
    clock, console = Clock(), log()
    with Progress("Stage I", 1000, seconds=30, console=console, clock=clock) as progress:
        for _ in range(1000):
            clock.now += 0.125
            progress.advance({"loss": 0.5})
    assert len(lines(console)) == 5
    assert lines(console)[0] == "Stage I: 240/1000 steps, 8.0/s, 1:35 left, loss 0.5"
    assert lines(console)[-1] == "Stage I: 1000/1000 steps, after 2:05, loss 0.5"


def test_rate_and_time_left_leave_out_the_first_step_that_compiles():
    clock = Clock()
    with Progress("x", 11, console=log(), clock=clock) as progress:
        clock.now += 60
        progress.advance()
        assert progress.rate is None
        for _ in range(5):
            clock.now += 2
            progress.advance()
        assert progress.rate == pytest.approx(0.5)
        assert progress.pace == "2.0 s each, 0:10 left"


def test_a_resumed_run_counts_from_its_step_but_rates_only_its_own_steps():
    clock = Clock()
    with Progress("x", 100, start=90, console=log(), clock=clock) as progress:
        for _ in range(4):
            clock.now += 1
            progress.advance()
        assert progress.counts == "94/100"
        assert progress.rate == pytest.approx(1.0)


def test_live_figures_are_picked_from_the_metrics_and_kept_while_absent():
    console = log()
    with Progress("x", 2, console=console) as progress:
        progress.advance({"loss": 1.25, "kl": 1e-5, "grad_norm": 7.0})
        progress.advance({"loss": 0.75})
        assert progress.figures == "loss 0.75 kl 1e-05"


def test_a_failing_run_says_how_far_it_came():
    console = log()
    with (
        pytest.raises(RuntimeError, match="broken"),
        Progress("Stage I", 10, console=console) as progress,
    ):
        progress.advance()
        raise RuntimeError("broken")
    assert lines(console) == ["Stage I: 1/10 steps, after 0:00"]


def test_a_terminal_gets_a_bar_with_everything_in_80_columns():
    clock, console = Clock(), terminal()
    with Progress("Stage II", 150, console=console, clock=clock) as progress:
        for _ in range(150):
            clock.now += 0.5
            progress.advance({"loss": -0.012, "reward": 0.53, "kl": 0.001})
    last = [line for line in lines(console) if "150/150" in line][-1]
    assert "loss -0.012 reward 0.53 kl 0.001" in last
    assert "1:15" in last
    assert "\x1b[2K" in last  # drawn over the line before
    assert max(len(line.split("\x1b[2K")[-1]) for line in lines(console)) <= 80


def test_a_narrow_terminal_cuts_the_figures_and_keeps_the_counts():
    clock, console = Clock(), terminal(width=50)
    with Progress("Stage II", 150, console=console, clock=clock) as progress:
        progress.advance({"loss": -0.012, "reward": 0.53, "kl": 0.001})
    drawn = console.file.getvalue()
    assert "1/150" in drawn
    assert "…" in drawn


def test_colours_forced_on_a_log_file_do_not_make_it_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = Console(file=io.StringIO(), width=80)
    assert console.is_terminal
    with Progress("x", 3, console=console) as progress:
        for _ in range(3):
            progress.advance()
    assert len(lines(console)) == 1


def test_processes_other_than_the_first_are_silent(monkeypatch):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    for index, expected in ((1, 0), (0, 1)):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        console = log()
        assert list(track(range(3), "x", console=console)) == [0, 1, 2]
        assert len(lines(console)) == expected


def test_progress_of_data_work_does_not_take_hold_of_the_accelerator(monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: pytest.fail("asked jax for devices"))
    assert list(track([1], "x", console=log())) == [1]


def test_track_passes_on_every_item_and_knows_the_length_of_a_list_only():
    console = log()
    assert list(track(["a", "b"], "drawing [1]", console=console)) == ["a", "b"]
    assert list(track(iter("abc"), "reading", console=console)) == ["a", "b", "c"]
    assert lines(console) == [
        "drawing [1]: 2/2 items, after 0:00",
        "reading: 3 items, after 0:00",
    ]


def test_track_counts_learns_the_total_from_the_work():
    console = log()
    with track_counts("building", console=console) as report:
        report(1, 4)
        report(4, 4)
    assert lines(console) == ["building: 4/4 items, after 0:00"]


def test_long_runs_show_hours():
    clock = Clock()
    with Progress("x", 7301, console=log(), clock=clock) as progress:
        for _ in range(2):
            clock.now += 1
            progress.advance()
        assert progress.pace.endswith("2:01:39 left")
