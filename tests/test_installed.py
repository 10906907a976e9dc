"""The wheel, installed outside the checkout, finds the configs that come with it by name."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from skinflow_jax.config import load_config
from skinflow_jax.errors import ConfigError
from skinflow_jax.runs.ablation import load_ablation
from skinflow_jax.shipped import CONFIGS, names

ROOT = Path(__file__).parents[1]

CONFIGS_BY_NAME = """
import sys
from pathlib import Path
import skinflow_jax
from skinflow_jax.config import load_config
from skinflow_jax.rl.reward_files import load_rewards
from skinflow_jax.runs.ablation import load_ablation
from skinflow_jax.shipped import CONFIGS, names

assert Path(skinflow_jax.__file__).is_relative_to(sys.argv[1]), skinflow_jax.__file__
runs = {name: load_config(name) for name in names()}
assert runs["debug_stage2"].data.max_pixels == runs["debug_sft"].data.max_pixels
assert list(load_rewards(runs["debug_lora"].rl.rewards)) == ["diagnosis", "full_list"]
assert len(load_ablation(CONFIGS / "ablation").rows) == 5
print(*runs)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the checkout stays clean."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    out = ("build", "*.egg-info", ".git", ".venv*", "runs", "__pycache__", "tests", ".hypothesis")
    source = shutil.copytree(
        ROOT, folder / "source", symlinks=True, ignore=shutil.ignore_patterns(*out)
    )
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--no-index"]
    run(folder, "-m", "pip", "wheel", *options, f"--wheel-dir={folder}", str(source))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that holds the installed package and nothing else of ours."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(folder, *command, path=None):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=kept | {"JAX_PLATFORMS": "cpu"} | ({"PYTHONPATH": str(path)} if path else {}),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_wheel_holds_every_config_and_the_licence(wheel):
    packed = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    configs = {path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.py")}
    assert {Path("skinflow_jax/shipped") / path for path in configs} <= packed
    assert any(path.name == "LICENSE" for path in packed)
    tops = {path.parts[0].partition("-")[0] for path in packed}
    assert tops == {"skinflow_jax"}  # nothing else in a person's site-packages


def test_an_installed_package_finds_configs_by_name_from_any_folder(installed, tmp_path):
    assert "--config" in run(tmp_path, "-m", "skinflow_jax", "train", "--help", path=installed)
    found = run(tmp_path, "-c", CONFIGS_BY_NAME, str(installed), path=installed)
    assert found.split() == names()


@pytest.mark.slow
def test_a_shipped_config_trains_from_any_folder(installed, tmp_path):
    small = ("data.count=24", "batch_size=4", "loop.steps=1", "evaluation.count=8")
    overrides = [f"--config.{text}" for text in small]
    command = ("train", "--config=debug_sft", "--workdir=runs/x", *overrides)
    run(tmp_path, "-m", "skinflow_jax", *command, path=installed)
    assert (tmp_path / "runs" / "x" / "metrics.jsonl").is_file()


def test_a_name_means_the_file_of_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_config("debug_stage2") == load_config(ROOT / "configs" / "debug_stage2.py")
    assert (
        load_config("ablation/stages/warmup")
        == load_ablation(CONFIGS / "ablation").stages["warmup"]
    )
    (tmp_path / "debug_stage2").mkdir()  # a workdir of that name is no config
    assert load_config("debug_stage2").algorithm == "grpo"


def test_an_unknown_name_is_answered_by_the_names_there_are():
    for wrong in ("debug_sfd", "none.py", "../configs/none"):
        with pytest.raises(
            ConfigError, match=r"is not a file.*debug_lora, debug_sft, debug_stage1"
        ):
            load_config(wrong)
