"""Rewards have examples and process state of their own, and children can import their files."""

import decimal
import gc
import logging
import os
import random
import signal
import socket
import sys
import warnings
from fractions import Fraction

import jax
import numpy as np
import pytest

from skinflow_jax.data.pipeline import Example
from skinflow_jax.errors import ConfigError, RunError
from skinflow_jax.rl.process_state import RewardProcess
from skinflow_jax.rl.reward_files import load_rewards
from skinflow_jax.rl.rewards import LARGEST_REWARD, score


def example(case_id="a"):
    caption = {"colour": ["red", "brown"], "shape": "round"}
    image = np.full((28, 28, 3), 7, np.uint8)
    return Example(case_id, "caption", caption, "acne", {"age": {"years": 3}}, (image,))


def loaded(tmp_path, text, names=("mine",), stem="mine", process=None):
    path = tmp_path / f"{stem}.py"
    path.write_text(text)
    return load_rewards([f"{path}:{name}" for name in names], process)


def test_what_a_function_does_to_its_examples_reaches_nobody_else():
    seen = []

    def spoils(completions, examples):
        for one in examples:
            one.caption["colour"].append("blue")
            one.caption.pop("shape", None)
            one.attributes["age"]["years"] = 99
            object.__setattr__(one, "diagnosis", "wart")
        return [1] * len(completions)

    def reads(completions, examples):
        seen.extend((dict(one.caption), one.attributes, one.diagnosis) for one in examples)
        return [1] * len(completions)

    given = example()
    for _ in range(2):
        score([["x", "y"]], [given], {"spoils": spoils, "reads": reads, "again": spoils})
    expected = (example().caption, example().attributes, "acne")
    assert seen == [expected] * 4
    assert (given.caption, given.attributes, given.diagnosis) == expected


def test_images_are_read_only_and_a_function_that_paints_on_one_is_named():
    def paints(completions, examples):
        examples[0].image[:] = 0
        return [1] * len(completions)

    given = example()
    with pytest.raises(RunError, match=r"reward 'paints' raised ValueError: .*read-only.*case a"):
        score([["x"]], [given], {"paints": paints})
    assert (given.image == 7).all() and given.image.flags.writeable


CHANGES = """
import decimal, gc, locale, logging, os, random, signal, socket, sys, warnings
import jax, numpy as np

def change():
    os.environ["SKINFLOW_REWARD"] = "mine"
    os.environ.pop("SKINFLOW_RUN", None)
    os.chdir(os.path.dirname(__file__))
    sys.path.insert(0, "/mine")
    random.seed(1)
    np.random.seed(1)
    decimal.getcontext().prec = 3
    warnings.simplefilter("error")
    logging.getLogger().setLevel(5)
    logging.disable(logging.CRITICAL)
    sys.stdout = open(os.devnull, "w")
    jax.config.update("jax_enable_x64", True)
    sys.setrecursionlimit(5000)
    socket.setdefaulttimeout(1.0)
    gc.disable()
"""
AT_LOADING = """
signal.signal(signal.SIGUSR1, lambda *_: None)
change()
def mine(completions, examples):
    assert os.environ["SKINFLOW_REWARD"] == "mine" and "SKINFLOW_RUN" not in os.environ
    assert os.getcwd() == os.path.dirname(__file__) and sys.path[0] == "/mine"
    return [random.random()] * len(completions)
"""
AT_CALLS = """
def mine(completions, examples):
    change()
    return [random.random()] * len(completions)
"""


def state():
    return {
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "path": [entry for entry in sys.path if "skinflow-rewards-" not in entry],
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "decimal": decimal.getcontext().prec,
        "warnings": list(warnings.filters),
        "logging": (logging.getLogger().level, logging.getLogger().manager.disable),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "jax": jax.config.jax_enable_x64,
        "recursion": sys.getrecursionlimit(),
        "socket": socket.getdefaulttimeout(),
        "gc": gc.isenabled(),
        "signal": signal.getsignal(signal.SIGUSR1),
    }


@pytest.mark.parametrize("text", [AT_LOADING, AT_CALLS], ids=["loading", "calls"])
def test_the_run_finds_the_process_as_it_left_it(tmp_path, monkeypatch, text):
    monkeypatch.setenv("SKINFLOW_RUN", "1")
    before, process = state(), RewardProcess()
    functions = loaded(tmp_path, CHANGES + text, process=process)
    after_loading = state()
    rewards = [score([["x", "y"]], [example()], functions, process=process) for _ in range(2)]
    for after in (after_loading, state()):
        assert {name: value for name, value in after.items() if value != before[name]} == {}
    drawn = random.Random(1)
    again = text is AT_CALLS  # which seeds at each call, where a file that is loaded does it once
    expected = [drawn.random() for _ in range(2)]
    if again:
        expected[1] = expected[0]
    np.testing.assert_allclose([one[0, 0, 0] for one in rewards], expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_signal_that_a_reward_cannot_set_names_its_thread(tmp_path, kind):
    text = f"""
import signal
{kind} mine(completions, examples):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
"""
    with pytest.raises(RunError) as caught:
        score([["x"]], [example()], loaded(tmp_path, text))
    thread = "reward mine" if kind == "def" else "reward event loop"
    assert "signal only works in main thread" in str(caught.value)
    assert f"runs in the thread {thread!r}" in str(caught.value)
    assert "rl.reward_timeout" in str(caught.value)


IN_CHILDREN = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def length(text):
    return FACTOR * len(text)

def NAME(completions, examples):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return list(pool.map(length, completions))
"""


@pytest.mark.slow
def test_children_import_the_files_of_rewards_also_two_of_one_name(tmp_path):
    functions = {}
    for factor, folder in ((1, tmp_path / "a"), (10, tmp_path / "b")):
        folder.mkdir()
        name = f"times_{factor}"
        text = IN_CHILDREN.replace("FACTOR", str(factor)).replace("NAME", name)
        functions |= loaded(folder, text, (name,), stem="my-rewards.v2")
    rewards = score([["x", "xyz"]], [example()], functions, timeout=300)
    np.testing.assert_array_equal(rewards[0], [[1, 10], [3, 30]])


@pytest.mark.parametrize(
    "value",
    [decimal.Decimal("0.5"), Fraction(1, 2), np.float16(0.5), np.array(0.5), jax.numpy.array(0.5)],
    ids=lambda value: type(value).__name__,
)
def test_other_kinds_of_numbers_are_numbers(value):
    rewards = score([["x", "y"]], [example()], {"mine": lambda c, e: [value] * len(c)})
    np.testing.assert_array_equal(rewards, np.full((1, 2, 1), 0.5))


class Liar:
    """Its text is broken; it says that it is a number."""

    def __float__(self):
        raise RuntimeError

    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "value",
    [
        *(3e38, -3e38, 1.1 * LARGEST_REWARD, decimal.Decimal("NaN"), decimal.Decimal("sNaN")),
        *(Fraction(10**400, 3), np.array([1.0]), np.datetime64("2026-01-01"), Liar()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_or_too_large_to_be_squared_is_named(value):
    with pytest.raises(
        RunError, match=r"return a finite number, or None .* may be 1e.10"
    ) as caught:
        score([["x", "y"]], [example()], {"mine": lambda c, e: [1, value]})
    assert "sample 1 of 2" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["~no_such_user_here/mine.py", "a\0b.py"])
def test_a_path_that_cannot_be_one_is_named(file):
    with pytest.raises(ConfigError, match=r"rl\.rewards"):
        load_rewards([f"{file}:mine"])
