"""Configs: what loads, what an override means, and what a mistake is answered with."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from skinflow_jax.config import RunConfig, load_config, to_dict
from skinflow_jax.config_files.shipped import config_file
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import DveConfig

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
DEBUG = next(path for path in CONFIGS if path.name == "debug_stage1.py")


def written(tmp_path, body: str) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(body)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_loads_and_is_valid(path):
    assert isinstance(load_config(path), RunConfig)


def test_the_shipped_stages_follow_one_another():
    chains = {"debug": ["sft", "stage1", "stage2"], "skinflow_7b": ["warmup", "stage1", "stage2"]}
    last = {"debug": "diagnosis", "skinflow_7b": "diagnosis_reciprocal"}
    for name, stages in chains.items():
        runs = [load_config(DEBUG.with_name(f"{name}_{stage}.py")) for stage in stages]
        starts = [run.model.init_from for run in runs[1:]]
        assert starts == [f"runs/{name}_{stage}" for stage in stages[:2]]
        assert [run.data.split for run in runs] == ["warmup", "rl", "rl"]
        assert [run.rl.rewards for run in runs[1:]] == [("caption",), (last[name],)]
        budgets = {(run.data.min_pixels, run.data.max_pixels) for run in runs}
        assert len(budgets) == 1, "a stage would see images of another size than its predecessor"


def test_the_commands_of_the_readme_find_what_the_ones_before_them_made():
    text = (DEBUG.parents[1] / "README.md").read_text()
    made = {"skinflow-7b"}  # by export-hf
    commands = re.findall(r"^skinflow (\S+) +(--.*?)(?: +#.*)?$", text, re.MULTILINE)
    names = [name for name, _ in commands]
    real = names[names.index("import-hf") :]
    assert real[:4] == ["import-hf", "train", "train", "train"] and names.count("train") == 5
    for _, arguments in commands:
        options = dict(re.findall(r"--([\w-]+)=(\S+)", arguments))
        if "config" in options:
            config = load_config(config_file(Path(options["config"])))
            assert config.model.init_from in {None, *made}
        assert options.get("checkpoint", "skinflow-7b") in made
        made.add(options.get("workdir"))


def test_the_7b_stages_hold_the_published_settings():
    for stage, learning_rate in (("stage1", 1e-6), ("stage2", 5e-7)):
        run = load_config(DEBUG.with_name(f"skinflow_7b_{stage}.py"))
        assert run.optimizer.learning_rate == learning_rate
        assert (run.optimizer.b1, run.optimizer.b2, run.optimizer.weight_decay) == (
            0.9,
            0.999,
            0.01,
        )
        assert (run.optimizer.clip_norm, run.optimizer.schedule) == (1.0, "constant")
        assert (run.rl.group_size, run.rl.temperature) == (8, 1.0)
        assert (run.rl.loss.kl_coef, run.rl.loss.kl_estimator) == (0.01, "k3")
        assert (run.rl.loss.clip_low, run.rl.loss.clip_high) == (0.2, 0.2)
        assert (run.model.dtype, run.model.remat) == ("bfloat16", "full")
        assert run.model.dve == DveConfig(groups=640)
        assert (run.mesh.fsdp, run.mesh.tensor, run.data.prompt_lengths) == (4, 4, (1024,))


def test_a_square_of_the_7b_budget_fits_its_windows_and_prompt():
    data = load_config(DEBUG.with_name("skinflow_7b_stage1.py")).data
    side = int(data.max_pixels**0.5)
    assert (-(-side // 112)) ** 2 <= max(data.windows)
    assert data.max_pixels // 28**2 + 100 <= max(data.prompt_lengths)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("rl.group_size", "16", 16),
        ("rl.temperature", "1", 1.0),
        ("optimizer.learning_rate", "1e-6", 1e-6),
        ("optimizer.learning_rate", "1E-6", 1e-6),
        ("data.prompt_lengths", "(40, 64)", (40, 64)),
        ("data.prompt_lengths", "[40, 64]", (40, 64)),
        ("data.prompt_lengths", "64", (64,)),
        ("data.count", "None", None),
        ("data.count", "null", None),
        ("model.remat", "full", "full"),
        ("data.data_root", "a folder/of images", "a folder/of images"),
        ("data.data_root", "[1,", "[1,"),
        ("data.options.clutter", "1", 1.0),
        ("rl.loss.kl_coef", "0", 0.0),
        ("model.dve.groups", "64", 64),
        ("model.dve.blocks", "(0, 3)", (0, 3)),
        ("data.tasks", "[caption]", ("caption",)),
        ("data.augmentation", "[flip, rotate]", ("flip", "rotate")),
        ("rl.log_kl", "true", True),
        ("rl.log_kl", "False", False),
        ("seed", "0x10", 16),
        ("seed", "1_000", 1000),
        ("seed", "4294967295", 4294967295),
        ("model.init_from", "no", "no"),
        ("model.init_from", "2026-01-01", "2026-01-01"),
        ("model.init_from", "'7'", "7"),
    ],
)
def test_an_override_means_what_people_write(key, text, expected):
    value = to_dict(load_config(DEBUG, {key: text}))
    for name in key.split("."):
        value = value[name]
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(
    ("key", "text", "answer"),
    [
        ("rl.group_siez", "16", "unknown config key rl.group_siez: did you mean rl.group_size?"),
        ("group_size", "16", "unknown config key group_size: did you mean rl.group_size?"),
        ("kl_coef", "0", "did you mean rl.loss.kl_coef?"),
        ("modle.size", "tiny", "unknown config key modle: did you mean model?"),
        ("model.dve.group", "1", "key model.dve.group: did you mean model.dve.groups?"),
        ("model.dve.groups", "0", "model.dve.groups=0 must be a whole number from 1 to"),
        ("linears", "gate", "did you mean model.dve.linears?"),
        ("zzz", "1", "the keys there are algorithm, batch_size"),
        ("rl", "5", "rl=5 must be a group of keys"),
        ("rl.group_size.x", "5", "group_size has no keys of its own"),
        ("rl.group_size", "many", "rl.group_size='many' must be a whole number from 2 to 65,536"),
        ("rl.group_size", "8.5", "rl.group_size=8.5 must be a whole number"),
        ("rl.group_size", "True", "rl.group_size=True must be a whole number"),
        ("rl.group_size", "1", "rl.group_size=1 must be a whole number from 2 to"),
        (
            "rl.temperature",
            "hot",
            "rl.temperature='hot' must be a finite number from 0.001 to 1000",
        ),
        ("rl.temperature", "True", "rl.temperature=True must be a finite number"),
        ("rl.rewards", "diagnosis", "no reward of rl.rewards"),
        ("rl.max_tokens", "25", "exceeds data.completion_length=24"),
        ("algorithm", "ppo", "algorithm='ppo' is unknown: choose one of sft, grpo"),
        ("model.size", "huge", "model.size='huge' is unknown"),
        ("data.tasks", "segment", "data.tasks='segment' is unknown"),
        ("data.source", "imagenet", "data.source='imagenet' is unknown"),
        ("data.source", "pad_ufes_20", "give its folder as data.data_root"),
        (
            "data.options.image_size",
            "big",
            "image_size='big' must be a whole number from 28 to 8,192",
        ),
        ("data.augmentation", "hue", "'hue' is unknown: choose one of crop, flip, rotate90"),
        ("data.augmentation", "[flip, flip]", "names a value twice"),
        ("data.like_sizes", "20", "data.like_sizes=20 must be a multiple of batch_size=8, or 0"),
        ("data.count", "0", "data.count=0 must be a whole number from 1 to 100,000,000"),
        ("data.min_pixels", "50000", "exceeds data.max_pixels"),
        ("data.seed", "-1", "data.seed=-1 must be a whole number from 0 to 4,294,967,295"),
        ("seed", "-1", "config seed=-1 must be a whole number from 0 to"),
        ("micro_batches", "0", "micro_batches=0 must be a whole number from 1"),
        ("micro_batches", "3", "does not divide"),
        ("loop.steps", "0", "loop.steps=0 must be a whole number from 1"),
        ("evaluation.batch_size", "0", "evaluation.batch_size=0 must be a whole number from 1"),
        ("evaluation.tasks", "x", "evaluation.tasks='x' is unknown"),
    ],
)
def test_a_wrong_value_is_named_with_the_remedy(key, text, answer):
    with pytest.raises(ConfigError) as caught:
        load_config(DEBUG, {key: text})
    assert answer in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("x = 1", "defines no function get_config()"),
        ("def get_config():\n    return {}", "must return an ml_collections.ConfigDict"),
        ("def get_config():\n    return 1 / 0", "mine.py, line 2: ZeroDivisionError"),
        ("def get_config():\n    return {}['rl']", "mine.py, line 2: KeyError: 'rl'"),
        ("def get_config(:", "SyntaxError"),
        ("import no_such_module", "mine.py, line 1: ModuleNotFoundError"),
    ],
)
def test_a_config_file_that_fails_is_named_with_its_line(tmp_path, body, answer):
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, body))
    assert answer in str(caught.value) and "mine.py" in str(caught.value)


def test_a_config_without_a_needed_value_says_which(tmp_path):
    body = (
        "from ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({'loop': {'log_every': 2}})\n"
    )
    with pytest.raises(ConfigError, match=r"loop\.steps is missing"):
        load_config(written(tmp_path, body))


def test_a_missing_file_and_a_misplaced_override_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match=r"or a shipped one by name: .*debug_sft"):
        load_config(tmp_path / "none.py")
    with pytest.raises(ConfigError, match=r"write --config\.rl\.group_size=16"):
        load_config(Path("rl.group_size=16"))


def test_the_config_of_a_run_is_a_config(tmp_path):
    config = load_config(DEBUG, {"rl.loss.cispo_cap": "None", "data.options.clutter": "0.5"})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(config)))
    assert load_config(path) == config
    changed = load_config(path, {"rl.group_size": "4"})
    assert changed == dataclasses.replace(config, rl=dataclasses.replace(config.rl, group_size=4))


@pytest.mark.parametrize("text", ["{", "[1, 2]"])
def test_a_damaged_config_json_is_named(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_config(path)
