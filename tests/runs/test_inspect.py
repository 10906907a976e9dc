"""`skinflow inspect` says what a run's checkpoints are."""

import os

import pytest
from small_state import files_of, small_state

from skinflow_jax.checkpoints.checksums import FILE
from skinflow_jax.checkpoints.run_state import RunCheckpoints
from skinflow_jax.cli import main
from skinflow_jax.errors import InputError, printable
from skinflow_jax.runs.inspect import inspect_checkpoint


@pytest.fixture
def workdir(tmp_path):
    with RunCheckpoints(tmp_path / "checkpoints", keep=9) as checkpoints:
        for step in (1, 2, 3, 4):
            facts = {"algorithm": "sft", "position": step * 8, "note": "\x1b[31m[bold]red\n"}
            checkpoints.save(step, small_state(step), facts=facts, metrics={"reward": step / 8})
    return tmp_path


def test_steps_facts_sizes_metrics_and_damage_are_listed(workdir, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    step = workdir / "checkpoints"
    largest = max(files_of(step / "2"), key=lambda p: p.stat().st_size)
    os.truncate(largest, 9)
    (step / "3" / FILE).unlink()
    (step / "4" / "notes").write_text("mine")
    assert main(["inspect", f"--checkpoint={workdir}"]) == 0
    out = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): line for line in out.splitlines() if "│" in line}
    assert "whole" in rows["1"] and "0.125" in rows["1"] and "kB" in rows["1"]
    assert "damaged" in rows["2"] and largest.name in rows["2"]
    assert "unverified" in rows["3"]
    assert "whole" in rows["4"] and "notes" in rows["4"]
    assert "algorithm: sft" in out and "step 2: position: 16" in out
    assert r"note: \x1b[31m[bold]red\n" in out and "\x1b" not in out


@pytest.mark.parametrize("folder", ["absent", "."])
def test_a_folder_that_is_no_run_is_refused(tmp_path, folder, capsys):
    with pytest.raises(InputError, match="holds no checkpoint"):
        inspect_checkpoint(tmp_path / folder)
    assert main(["inspect", f"--checkpoint={tmp_path / folder}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_terminal_would_obey_is_escaped():
    assert printable("a\x1b]0;x\x07\u202eb\udce9é") == r"a\x1b]0;x\x07\u202eb\udce9é"
