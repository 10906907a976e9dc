"""benchmarks/gpu_check.py, without a GPU: what it says where it cannot go on."""

import argparse
import importlib.util
import json
import time

import pytest
from stand_ins import ROOT


@pytest.fixture
def gpu_check():
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "benchmarks/gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def called(module, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["gpu_check.py", *arguments])
    return module.main()


def test_missing_packages_are_one_line_that_installs_them(gpu_check, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "MODULES", {"json": "there", "no_such.module": "not-there"})
    assert called(gpu_check, monkeypatch) == 2
    assert capsys.readouterr().err == "gpu_check: missing: pip install not-there\n"


def test_it_asks_for_what_the_package_needs(gpu_check):
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    needed = {line.split(">=")[0] for line in lines if line and line[0] != "#"}
    named = {package.split("[")[0] for package in gpu_check.MODULES.values()}
    assert needed - {"numpy"} == named


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


def test_a_part_that_dies_or_hangs_is_said(gpu_check):
    died = gpu_check.part_alone("speed", ["--size=nonesuch"], 60)
    assert died == {"ok": False, "error": "ended without a result: see above"}
    assert "not done after" in gpu_check.part_alone("parity", [], 1)["error"]
