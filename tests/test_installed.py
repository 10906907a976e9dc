"""The wheel, installed outside the checkout, finds the configs that come with it by name."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from skinflow_jax.config import load_config
from skinflow_jax.config_files.shipped import CONFIGS, names
from skinflow_jax.errors import ConfigError
from skinflow_jax.runs.ablation import load_ablation

ROOT = Path(__file__).parents[1]

# The checkout may be installed in the same Python: whatever was imported must not come from there.
IT_IS_THE_INSTALLED_ONE = """
import sys
from pathlib import Path

ours = [module for name, module in sys.modules.items() if name.startswith("skinflow_jax")]
elsewhere = [m for m in ours if not Path(m.__file__).is_relative_to(sys.argv[1])]
assert ours and not elsewhere, elsewhere
"""
CONFIGS_BY_NAME = (
    """
from skinflow_jax.config import load_config
from skinflow_jax.rl.reward_files import load_rewards
from skinflow_jax.runs.ablation import load_ablation
from skinflow_jax.config_files.shipped import CONFIGS, names

runs = {name: load_config(name) for name in names()}
assert runs["debug_stage2"].data.max_pixels == runs["debug_sft"].data.max_pixels
assert list(load_rewards(runs["debug_lora"].rl.rewards)) == ["diagnosis", "full_list"]
assert len(load_ablation(CONFIGS / "ablation").rows) == 5
print(*runs)
"""
    + IT_IS_THE_INSTALLED_ONE
)
SMALL_DEMO = (
    """
from skinflow_jax.cli import main
from skinflow_jax.runs import demo

demo.SIZES["procedural"] = demo.DemoSize(40, 20, 24, 6, 12, 8, 2, 2)
assert main(["demo"]) == 0
"""
    + IT_IS_THE_INSTALLED_ONE
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the checkout stays clean."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("skinflow_jax", "configs"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=unwanted)
    for path in (*ROOT.glob("*.toml"), *ROOT.glob("*.txt"), ROOT / "README.md", ROOT / "LICENSE"):
        shutil.copy(path, source)
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
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=kept | {"JAX_PLATFORMS": "cpu"} | ({"PYTHONPATH": str(path)} if path else {}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package_every_config_and_the_licence(wheel):
    packed = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    code = {path.relative_to(ROOT) for path in (ROOT / "skinflow_jax").rglob("*.*")}
    assert {path for path in code if "__pycache__" not in path.parts} <= packed
    configs = {path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.py")}
    assert {Path("skinflow_jax/config_files") / path for path in configs} <= packed
    assert any(path.name == "LICENSE" for path in packed)
    tops = {path.parts[0].partition("-")[0] for path in packed}
    assert tops == {"skinflow_jax"}  # nothing else in a person's site-packages


def test_an_installed_package_finds_configs_by_name_from_any_folder(installed, tmp_path):
    assert "--config" in run(tmp_path, "-m", "skinflow_jax", "train", "--help", path=installed)
    found = run(tmp_path, "-c", CONFIGS_BY_NAME, str(installed), path=installed)
    assert found.split() == names()


@pytest.mark.slow
def test_the_demo_runs_from_an_installed_package_where_it_is_called(installed, tmp_path):
    run(tmp_path, "-c", SMALL_DEMO, str(installed), path=installed)
    demo = tmp_path / "runs" / "demo"
    assert (demo / "report.md").is_file() and (demo / "export" / "config.json").is_file()


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
            ConfigError, match=r"is not a file.*debug_lora, .*debug_sft, debug_stage1"
        ):
            load_config(wrong)
