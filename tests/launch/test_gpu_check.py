"""benchmarks/gpu_check.py, without a GPU: all of it but the card."""

import argparse
import importlib.util
import json
import subprocess
import time

import pytest
from shallow import SHALLOW
from stand_ins import ROOT

from skinflow_jax.models.config import SIZES


@pytest.fixture
def gpu_check():
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "benchmarks/gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def called(module, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["gpu_check.py", *arguments])
    return module.main()


def test_missing_and_old_packages_are_one_line_that_installs_them(
    gpu_check, monkeypatch, capsys, tmp_path
):
    assert gpu_check.missing_packages() == []
    lines = ["# Runtime.", "", "no-such-package>=1,<2", "numpy>=1.2,<9", "scipy>=99,<100"]
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    missing = gpu_check.missing_packages(tmp_path / "requirements.txt")
    monkeypatch.setattr(gpu_check, "missing_packages", lambda: missing)
    assert called(gpu_check, monkeypatch) == 2
    line = "gpu_check: missing: pip install 'no-such-package>=1,<2' 'scipy>=99,<100'\n"
    assert capsys.readouterr().err == line


def test_versions_are_compared_as_numbers(gpu_check):
    assert gpu_check.numbers("0.10.2") > gpu_check.numbers("0.9.30")
    assert gpu_check.numbers("1.1rc1") == [1, 1]


@pytest.fixture
def small(gpu_check, monkeypatch):
    """The check with a shallow model, few tokens and few steps."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # asked for: else its absence of a GPU is told
    monkeypatch.setitem(SIZES, "tiny", SHALLOW)
    for name, value in {"TOKENS": 4, "GROUP": 2, "STEPS": 2}.items():
        monkeypatch.setattr(gpu_check, name, value)
    return gpu_check


SMALL = argparse.Namespace(size="tiny", dtype="float32", side=56)


@pytest.mark.slow
def test_the_parts_run_here_with_a_small_model(small, monkeypatch, tmp_path, capsys):
    file = tmp_path / "found.json"
    flags = ["--size=tiny", "--dtype=float32", "--side=56", f"--json={file}"]
    found = {}
    for part in ("parity", "speed"):
        assert called(small, monkeypatch, f"--part={part}", *flags) == 0
        found[part] = json.loads(file.read_text())
        small.show(part, found[part])
    assert found["parity"]["ok"] and found["parity"]["machine"]["device"] == "cpu"
    assert found["parity"]["greedy tokens that agree"] == 1.0
    speed = found["speed"]
    assert speed["sampled tokens a second"] > 0 and speed["GRPO tokens a second"] > 0
    told = capsys.readouterr().out
    assert "parity: ok" in told and "sampled tokens a second" in told


def test_a_cpu_that_nobody_asked_for_is_said(gpu_check, monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    file = tmp_path / "found.json"
    assert called(gpu_check, monkeypatch, "--part=speed", f"--json={file}") == 0
    found = json.loads(file.read_text())
    assert not found["ok"] and found["error"].startswith("JAX sees no GPU")


def test_what_does_not_fit_is_a_finding_and_any_other_error_is_not(
    gpu_check, monkeypatch, tmp_path
):
    def fails(said):
        def grpo_step(args, folder):
            raise RuntimeError(said)

        return grpo_step

    monkeypatch.setattr(gpu_check, "decoding", lambda args, folder: {"decoding, s": 1.0})
    monkeypatch.setattr(gpu_check, "grpo_step", fails("RESOURCE_EXHAUSTED: Out of memory"))
    found = gpu_check.speed(SMALL, tmp_path)
    assert found["grpo_step"] == "does not fit this device" and found["decoding, s"] == 1.0
    monkeypatch.setattr(gpu_check, "grpo_step", fails("INTERNAL"))
    with pytest.raises(RuntimeError, match="INTERNAL"):
        gpu_check.speed(SMALL, tmp_path)


PACKAGE = """
import pathlib, sys
given = dict(word[2:].partition("=")[::2] for word in sys.argv[2:])
workdir = pathlib.Path(given["workdir"])
workdir.mkdir()
(workdir / "metrics.jsonl").write_text('{"loss": 0.5}\\n{"loss": 0.25}\\n{"eval": 1}\\n')
"""


def test_a_debug_run_says_its_last_loss(gpu_check, monkeypatch, tmp_path):
    package = tmp_path / "root/skinflow_jax"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(PACKAGE)
    monkeypatch.setattr(gpu_check, "ROOT", tmp_path / "root")
    said, done = gpu_check.debug_run("debug_sft", [], tmp_path, 60)
    assert done and said.endswith("last loss 0.2500")
    assert gpu_check.debug_run("debug_lora", [], tmp_path, 20)[1]
    monkeypatch.setattr(gpu_check.subprocess, "run", expires)
    said, done = gpu_check.debug_run("debug_stage1", [], tmp_path, 20)
    assert (said, done) == ("not done after 20 s", False)


def expires(command, timeout, **_):
    raise subprocess.TimeoutExpired(command, timeout)


def test_a_part_that_fails_fails_the_check_and_the_others_stand(gpu_check, monkeypatch, tmp_path):
    answers = {"parity": {"ok": True, "machine": {"device": "x"}}, "speed": {"ok": False}}
    monkeypatch.setattr(gpu_check, "part_alone", lambda name, *_: dict(answers[name]))
    file = tmp_path / "found.json"
    assert called(gpu_check, monkeypatch, "--only=parity", f"--json={file}") == 0
    assert called(gpu_check, monkeypatch, "--only=speed,parity", f"--json={file}") == 1
    found = json.loads(file.read_text())
    assert found["machine"] == {"device": "x"}
    assert found["parity"] == {"ok": True}


def test_runs_that_had_no_time_or_failed_are_not_ok(gpu_check, monkeypatch, tmp_path):
    late = argparse.Namespace(deadline=time.monotonic())
    assert gpu_check.runs(late, tmp_path) == {
        "debug_sft": "no time left",
        "debug_stage1": "no time left",
        "debug_lora": "no time left",
        "ok": False,
    }
    said, done = gpu_check.debug_run("no_such_config", [], tmp_path, 60)
    assert said.startswith("exit code 2: ")
    assert "no_such_config" in said
    assert not done


def test_a_part_that_dies_or_hangs_is_said(gpu_check, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    died = gpu_check.part_alone("speed", ["--size=nonesuch"], 60)
    assert died == {"ok": False, "error": "ended without a result: see above"}
    assert "not done after" in gpu_check.part_alone("parity", [], 1)["error"]
