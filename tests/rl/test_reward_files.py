"""Reward functions are found by name before the first step, or the entry that is wrong is named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from skinflow_jax.data.pipeline import Example
from skinflow_jax.errors import ConfigError
from skinflow_jax.rl.reward_files import load_rewards
from skinflow_jax.rl.rewards import REWARDS, check_reward_names, score

MINE = """
from __future__ import annotations
from dataclasses import dataclass

calls = []

@dataclass
class Judge:
    factor: float = 2.0

    def __call__(self, completions, examples):
        return [self.factor * len(text) for text in completions]

def brevity(completions, examples):
    calls.append(1)
    return [-len(text) for text in completions]

async def known(completions, examples):
    return [len(calls) if example.diagnosis else None for example in examples]

judge = Judge()
threshold = 3
def old(completion): return 0.0
def strict(completions, examples, *, tokenizer): return []
def caption(completions, examples): return []
def overlong(completions, examples): return []
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_built_in_names_and_functions_of_a_file_are_loaded_in_order(mine):
    names = ("diagnosis", f"{mine}:known", f"{mine}:brevity", "caption", f"{mine}:judge")
    functions = load_rewards(names)
    assert list(functions) == ["diagnosis", "known", "brevity", "caption", "judge"]
    assert functions["caption"] is REWARDS["caption"]


def test_functions_of_a_file_score_and_share_its_module(mine):
    functions = load_rewards([f"{mine}:brevity", f"{mine}:judge", f"{mine}:known"])
    assert functions["brevity"].__globals__ is functions["known"].__globals__
    example = Example("a", "diagnosis", {}, "", {}, (np.zeros((28, 28, 3), np.uint8),))
    rewards = score([["x", "xyz"]], [example], functions)
    np.testing.assert_array_equal(rewards, [[[-1, 2, np.nan], [-3, 6, np.nan]]])


def test_the_shipped_example_judges_diagnoses_alone():
    path = Path(__file__).parents[2] / "configs" / "rewards" / "full_list.py"
    functions = load_rewards([f"{path}:full_list"])
    image = np.zeros((28, 28, 3), np.uint8)
    examples = [Example("a", task, {}, "", {}, (image,)) for task in ("diagnosis", "caption")]
    texts = [json.dumps({"diagnoses": names}) for names in (["a", "b", "b"], list("abcdef"))]
    rewards = score([[*texts, "acne"]] * 2, examples, functions)
    np.testing.assert_allclose(rewards[:, :, 0], [[2 / 6, 1, 0], [np.nan] * 3])


def test_a_path_is_relative_to_the_working_directory(mine, monkeypatch):
    monkeypatch.chdir(mine.parent)
    assert list(load_rewards(["mine.py:brevity"])) == ["brevity"]


def test_a_file_takes_no_other_modules_name(tmp_path):
    path = tmp_path / "json.py"
    path.write_text("import json\ndef valid(completions, examples):\n    json.loads('1')\n")
    load_rewards([f"{path}:valid"])["valid"]([], [])


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], "rl.rewards is empty: choose from caption, diagnosis, diagnosis_reciprocal, question"),
        (["captoin"], "'captoin' is unknown: choose from caption, diagnosis, diagnosis_reciprocal"),
        ([""], "'' is unknown: choose from caption"),
        (["MINE"], "does not have the form path/to/file.py:function"),
        (["MINE:"], "does not have the form path/to/file.py:function"),
        (["MINE:judge.factor"], "does not have the form path/to/file.py:function"),
        (["notes.txt:brevity"], "does not have the form path/to/file.py:function"),
        (["/nowhere/mine.py:brevity"], "/nowhere/mine.py is not a file: give path/to/file.py"),
        (["MINE:absent"], "MINE defines no function absent()"),
        (["MINE:threshold"], "MINE: threshold is int, not a function"),
        (["MINE:Judge"], "MINE: Judge is type, not a function"),
        (["MINE:old"], "old(completion) cannot be called with (completions, examples): too many"),
        (["MINE:strict"], "cannot be called with (completions, examples): missing a required"),
        (["MINE:caption"], "has the name of a built-in reward: rename the function"),
        (["MINE:overlong"], "has the name of a built-in reward: rename the function"),
        (["caption", "caption"], "'caption' and 'caption' are both named 'caption' in the metrics"),
        (["MINE:judge", "MINE:judge"], "are both named 'judge' in the metrics"),
    ],
)
def test_a_wrong_entry_is_named_with_its_remedy(mine, entries, expected):
    with pytest.raises(ConfigError) as caught:
        load_rewards([entry.replace("MINE", str(mine)) for entry in entries])
    line = str(caught.value)
    assert line.startswith("rl.rewards")
    assert "\n" not in line
    assert expected.replace("MINE", str(mine)) in line


def test_a_config_that_names_a_file_is_read_without_opening_it():
    """So that a run's config.json can be read on a machine that lacks the file."""
    check_reward_names(("caption", "/nowhere/mine.py:brevity"))


@pytest.mark.parametrize("names", [(), ("caption", "captoin")])
def test_a_config_with_no_reward_or_an_unknown_one_is_refused_at_once(names):
    with pytest.raises(ConfigError, match=r"choose from caption, diagnosis, .* or name a function"):
        check_reward_names(names)


def test_functions_of_two_files_with_one_name_clash(mine, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(MINE)
    with pytest.raises(ConfigError, match=r"other.py:judge' are both named 'judge'.*rename"):
        load_rewards([f"{mine}:judge", f"{other}:judge"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\nimport no_such_module_here\n", ", line 2: ModuleNotFoundError: No module named"),
        ("def f():\n    raise ValueError('a\\nb')\nx = 1\nf()\n", ", line 2: ValueError: a b"),
        ("import sys\nsys.exit(4)\n", ", line 2: SystemExit: 4"),
        ("x = 1\ndef (:\n", "SyntaxError: .*line 2"),
    ],
)
def test_a_file_that_does_not_run_names_the_line(tmp_path, text, expected):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(path)) + ".*" + expected) as caught:
        load_rewards([f"{path}:f"])
    assert "\n" not in str(caught.value)
