"""`skinflow verify`: the same in transformers, or the first layers that differ; whose code runs."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from random_model import SHALLOW, spread_model

import skinflow_jax
from skinflow_jax.checkpoints import hf_verify, torch_reference
from skinflow_jax.checkpoints.hf_verify import Comparison, compare
from skinflow_jax.cli import main
from skinflow_jax.models.config import DveConfig

DYNAMIC = dataclasses.replace(
    SHALLOW, vision=dataclasses.replace(SHALLOW.vision, dve=DveConfig(groups=9, linears=("gate",)))
)
GROUPS = [
    *("vision block 0", "vision block 1", "merger", "decoder layer 0", "decoder layer 1"),
    *("head", "greedy tokens"),
]


@pytest.fixture(scope="module")
def model():
    return spread_model(DYNAMIC)


@pytest.fixture
def folder(model, tmp_path):
    skinflow_jax.save_pretrained(model, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("config", [SHALLOW, DYNAMIC], ids=["plain", "dynamic"])
def test_a_folder_that_transformers_computes_alike_is_verified(config, tmp_path, capsys):
    skinflow_jax.save_pretrained(spread_model(config), tmp_path / "model")
    assert main(["verify", f"--model={tmp_path / 'model'}"]) == 0
    shown = capsys.readouterr().out
    assert all(group in shown for group in GROUPS) and "DIFFERS" not in shown
    assert "the same in transformers, 8 greedy tokens too" in shown


def test_the_first_layers_that_differ_are_named(model, folder, fails, monkeypatch):
    """A bias of the second vision block is off by a little: all that follows is, too."""

    def moved(path, x):
        wanted = ".vision.dynamic.mlp.up.bias" in jax.tree_util.keystr(path)
        return x.at[0, 0].add(0.1) if wanted else x

    other = jax.tree_util.tree_map_with_path(moved, model)
    rows = {row.group: row.equal for row in compare(other, folder)}
    assert list(rows) == GROUPS
    assert rows.pop("vision block 0") and not any(rows[group] for group in GROUPS[1:-1])
    monkeypatch.setattr(hf_verify, "load_pretrained", lambda folder: other)
    error = fails("verify", f"--model={folder}", code=1)
    assert ": vision block 1: the largest difference to transformers is" in error


def test_a_difference_counts_beside_the_size_of_what_differs_and_what_is_not_finite_always():
    assert Comparison("head", 0.9e-3, 1.0).equal
    assert not Comparison("head", 1.1e-3, 1.0).equal
    for difference, scale in ((np.nan, 1.0), (0.1, np.nan), (np.inf, np.inf), (0.1, np.inf)):
        assert not Comparison("head", difference, scale).equal


def test_the_worst_layer_of_a_group_speaks_for_it():
    config = dataclasses.replace(SHALLOW, text=dataclasses.replace(SHALLOW.text, num_layers=28))
    assert hf_verify._group("decoder layer 13", config) == "decoder layers 7 to 13"
    assert hf_verify._group("merger", config) == "merger"
    assert max([(1.0, 10.0), (0.5, 1.0)], key=hf_verify._badness) == (0.5, 1.0)
    assert max([(1.0, 10.0), (np.nan, 1.0)], key=hf_verify._badness)[1] == 1.0


@pytest.mark.parametrize("where", ["a file", "the hub"])
def test_code_that_is_not_ours_is_not_run_unasked(folder, where, tmp_path, fails, capsys):
    ran = tmp_path / "ran"
    if where == "a file":
        code = folder / "modeling_skinflow.py"
        code.write_text(f"open({str(ran)!r}, 'w').close()\n{code.read_text()}")
    else:
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {n: f"someone/else--{c}" for n, c in config["auto_map"].items()}
        (folder / "config.json").write_text(json.dumps(config))
    assert "brings Python code that is not ours" in fails("verify", f"--model={folder}", code=2)
    assert not ran.exists()


@pytest.mark.slow
def test_code_that_is_not_ours_runs_when_it_is_trusted(folder, tmp_path):
    ran, code = tmp_path / "ran", folder / "modeling_skinflow.py"
    code.write_text(f"{code.read_text()}\nopen({str(ran)!r}, 'w').close()\n")
    # transformers keeps such modules by the folder's name: other tests have some of the same.
    options = ["verify", f"--model={folder}", "--trust-remote-code"]
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules")}
    subprocess.run([sys.executable, "-m", "skinflow_jax", *options], check=True, env=environment)
    assert ran.exists()


def test_a_reference_that_fails_is_told_in_a_line(folder, monkeypatch, fails):
    """Code that was trusted may fail in any way."""

    def failing(*_):
        raise KeyError("of the folder")

    monkeypatch.setattr(hf_verify, "reference_states", failing)
    error = fails("verify", f"--model={folder}", code=2)
    assert "transformers cannot compute it (KeyError: 'of the folder')" in error


def test_without_torch_it_says_what_to_install(folder, fails, monkeypatch):
    monkeypatch.setattr(torch_reference.importlib.util, "find_spec", lambda name: None)
    error = fails("verify", f"--model={folder}", code=2)
    assert error.endswith("pip install torch transformers")


def test_what_is_no_model_folder_is_refused(tmp_path, fails):
    assert "is not a folder" in fails("verify", f"--model={tmp_path / 'absent'}", code=2)
