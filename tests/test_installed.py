"""The wheel, installed outside the checkout, finds the configs that come with it by name."""

import zipfile
from pathlib import Path

import pytest
from outside_checkout import IT_IS_THE_INSTALLED_ONE, ROOT, python

from skinflow_jax.config import load_config
from skinflow_jax.config_files.shipped import CONFIGS, names
from skinflow_jax.errors import ConfigError
from skinflow_jax.runs.ablation import load_ablation

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
    assert "--config" in python(tmp_path, "-m", "skinflow_jax", "train", "--help", path=installed)
    found = python(tmp_path, "-c", CONFIGS_BY_NAME, str(installed), path=installed)
    assert found.split() == names()


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
