"""Scoring: every value belongs to its completion, and a bad reward stops the run with its name."""

import asyncio
import re
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from skinflow_jax.data.pipeline import Example
from skinflow_jax.errors import ConfigError, RunError
from skinflow_jax.rl.rewards import REWARDS, overlong_penalty, score

IMAGE = np.zeros((28, 28, 3), np.uint8)
EXAMPLES = [Example(f"case-{i}", "diagnosis", {}, "psoriasis", {}, (IMAGE,)) for i in range(3)]
TEXTS = [["0.0", "0.1"], ["1.0", "1.1"], ["2.0", "2.1"]]


def constant(value):
    return lambda completions, examples: [value] * len(completions)


def at(index, value):
    """1.0 for every sample but one."""

    def reward(completions, examples):
        values = [1.0] * len(completions)
        values[index] = value
        return values

    return reward


def error_of(function, timeout=10.0, **others):
    with pytest.raises(RunError) as caught:
        score(TEXTS, EXAMPLES, {"mine": function} | others, timeout=timeout)
    line = str(caught.value)
    assert "\n" not in line
    assert "'mine'" in line
    return line, caught.value


def test_each_value_lands_at_its_own_completion_prompt_and_function():
    def text(completions, examples):
        return [float(text) for text in completions]

    async def case(completions, examples):
        return [int(example.case_id.removeprefix("case-")) for example in examples]

    rewards = score(TEXTS, EXAMPLES, {"text": text, "case": case, "ten": constant(10)})
    assert rewards.shape == (3, 2, 3)
    assert rewards.dtype == np.float32
    np.testing.assert_array_equal(rewards[..., 0], np.array(TEXTS, np.float32))
    np.testing.assert_array_equal(rewards[..., 1], [[0, 0], [1, 1], [2, 2]])
    np.testing.assert_array_equal(rewards[..., 2], np.full((3, 2), 10))


def test_none_is_not_scored_and_touches_no_other_value():
    rewards = score(TEXTS, EXAMPLES, {"some": at(3, None), "all": constant(0.5)})
    expected = np.ones((3, 2), np.float32)
    expected[1, 1] = np.nan
    np.testing.assert_array_equal(rewards[..., 0], expected)
    np.testing.assert_array_equal(rewards[..., 1], np.full((3, 2), 0.5))


@pytest.mark.parametrize(
    "value", [1, True, 1.0, np.float16(1), np.float32(1), np.int8(1), np.bool_(True)], ids=repr
)
def test_every_kind_of_number_is_taken(value):
    rewards = score(TEXTS, EXAMPLES, {"one": constant(value)})
    np.testing.assert_array_equal(rewards, np.ones((3, 2, 1)))


def test_arrays_and_tuples_are_taken_for_lists():
    functions = {
        "array": lambda completions, examples: np.arange(len(completions)),
        "tuple": lambda completions, examples: tuple(range(len(completions))),
    }
    rewards = score(TEXTS, EXAMPLES, functions)
    np.testing.assert_array_equal(rewards.reshape(6, 2), np.arange(6)[:, None].repeat(2, axis=1))


def test_the_built_in_rewards_score_their_own_task_only():
    caption = Example("a", "caption", {"colour": "red"}, "acne", {}, (IMAGE,))
    unknown = Example("b", "caption", {}, "acne", {}, (IMAGE,))
    second = '{"diagnoses": ["acne", "psoriasis", "vitiligo", "scabies", "melasma", "wart"]}'
    texts = [['{"colour": "red"}', "no"], ['{"colour": "red"}', "no"], [second, "no"]]
    rewards = score(texts, [caption, unknown, EXAMPLES[0]], REWARDS)
    named = dict(zip(REWARDS, np.moveaxis(rewards, 2, 0), strict=True))
    nan = np.nan
    np.testing.assert_array_equal(named["caption"], [[1, 0], [nan, nan], [nan, nan]])
    assert 0.5 < named["diagnosis"][2, 0] < 1
    assert named["diagnosis_reciprocal"][2, 0] == 0.5
    for name in ("diagnosis", "diagnosis_reciprocal"):
        assert np.isnan(named[name][:2]).all()
        assert named[name][2, 1] == 0


@pytest.mark.parametrize(
    "value",
    [np.nan, np.inf, -np.inf, 1e39, 10**400, np.float16("inf"), "1.0", [1.0], 1j, object],
    ids=lambda value: f"{value!r:.10}",
)
def test_a_value_that_is_no_finite_number_names_its_sample(value):
    line, _ = error_of(at(3, value))
    assert "case case-1 (diagnosis, sample 3 of 6, completion '1.1')" in line
    assert "return a finite number, or None" in line


@pytest.mark.parametrize("count", [0, 5, 7])
def test_a_wrong_number_of_values_is_counted(count):
    line, _ = error_of(lambda completions, examples: [1.0] * count)
    assert f"returned {count} values for 6 completions" in line


@pytest.mark.parametrize("values", [None, 1.0, "000000", {}, np.float32(1), np.array(1.0)])
def test_a_result_that_is_no_list_names_its_type(values):
    line, _ = error_of(lambda completions, examples: values)
    assert f"returned {type(values).__name__}" in line


def test_values_in_rows_are_refused_not_reshaped():
    line, _ = error_of(lambda completions, examples: np.ones((6, 1)))
    assert "sample 0 of 6" in line


def test_a_function_that_raises_names_the_sample_it_fails_on_and_keeps_the_cause():
    def reward(completions, examples):
        return [1 / (text != "2.0") for text in completions]

    line, error = error_of(reward)
    assert "ZeroDivisionError: division by zero on case case-2 (diagnosis, sample 4 of 6" in line
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_a_coroutine_that_raises_names_the_sample_too():
    async def reward(completions, examples):
        await asyncio.sleep(0)
        return [{"0.1": 1.0}[text] for text in completions]

    line, _ = error_of(reward)
    assert "KeyError: '0.0' on case case-0 (diagnosis, sample 0 of 6" in line


def test_a_function_that_raises_on_the_batch_alone_names_the_batch():
    def reward(completions, examples):
        if len(completions) > 1:
            raise RuntimeError("out\nof\nquota")
        raise ValueError("another trouble")

    line, _ = error_of(reward)
    assert (
        "RuntimeError: out of quota on 6 completions, though on none that was tried alone" in line
    )


def test_the_search_for_the_sample_keeps_to_one_time_limit_in_all():
    tried = []

    def reward(completions, examples):
        if len(completions) > 1:
            raise RuntimeError("batch")
        tried.append(completions[0])
        time.sleep(0.6)
        return [1.0]

    line, _ = error_of(reward, timeout=1.0)
    assert "raised RuntimeError: batch on 6 completions" in line
    assert tried in (["0.0"], ["0.0", "0.1"])


def exits(completions, examples):
    sys.exit(3)


async def exits_later(completions, examples):
    sys.exit(3)


async def cancels(completions, examples):
    raise asyncio.CancelledError


@pytest.mark.parametrize("function", [exits, exits_later, cancels])
def test_leaving_in_another_way_is_an_error_like_any_other(function):
    line, _ = error_of(function)
    assert re.search("raised (SystemExit: 3|CancelledError) on case case-0", line)
    assert score(TEXTS, EXAMPLES, {"next": constant(1)}).sum() == 6


def test_a_long_completion_and_message_stay_one_short_line():
    def reward(completions, examples):
        raise ValueError("x" * 10_000)

    with pytest.raises(RunError) as caught:
        score([["a\nb" * 1000]], EXAMPLES[:1], {"mine": reward})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_functions_run_at_the_same_time():
    """Each waits for the other two: one after another they would never meet."""
    meeting = threading.Barrier(3)

    def waits(completions, examples):
        meeting.wait(timeout=20)
        return [1] * len(completions)

    async def waits_async(completions, examples):
        await asyncio.to_thread(meeting.wait, 20)
        return [1] * len(completions)

    functions = {"one": waits, "two": waits, "three": waits_async}
    assert score(TEXTS, EXAMPLES, functions, timeout=30).sum() == 18


def test_coroutines_share_one_event_loop_that_outlives_the_step():
    loops = []

    async def reward(completions, examples):
        loops.append(asyncio.get_running_loop())
        return [1] * len(completions)

    for _ in range(2):
        score(TEXTS, EXAMPLES, {"one": reward, "two": reward})
    assert len(loops) == 4
    assert len(set(map(id, loops))) == 1
    assert not loops[0].is_closed()


def test_a_function_may_spoil_its_lists_without_harm_to_the_others():
    def spoils(completions, examples):
        values = [1.0] * len(completions)
        completions.clear()
        examples.reverse()
        return values

    def reads(completions, examples):
        time.sleep(0.05)
        return [float(text) for text in completions]

    rewards = score(TEXTS, EXAMPLES, {"spoils": spoils, "reads": reads})
    np.testing.assert_array_equal(rewards[..., 1], np.array(TEXTS, np.float32))


def test_a_slow_function_is_named_with_the_limit_and_a_fast_one_is_not():
    released = threading.Event()

    def slow(completions, examples):
        released.wait(60)

    line, _ = error_of(slow, timeout=1.0, fast=constant(1))
    released.set()
    assert "did not return within 1 s for 6 completions" in line
    assert "'fast'" not in line


def test_a_slow_coroutine_is_named_and_cancelled():
    cancelled = threading.Event()

    async def slow(completions, examples):
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    line, _ = error_of(slow, timeout=1.0)
    assert "did not return within 1 s" in line
    assert cancelled.wait(10)


def test_a_time_out_of_the_functions_own_is_not_the_runs():
    def reward(completions, examples):
        raise TimeoutError("the judge's server is silent")

    line, _ = error_of(reward)
    assert "raised TimeoutError: the judge's server is silent" in line


def test_an_exception_does_not_wait_for_a_slow_function():
    released = threading.Event()

    def slow(completions, examples):
        released.wait(60)
        return [1] * len(completions)

    def fails(completions, examples):
        raise ValueError("at once")

    start = time.monotonic()
    line, _ = error_of(fails, timeout=None, slow=slow)
    released.set()
    assert "at once" in line
    assert time.monotonic() - start < 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_process_whose_reward_hangs_ends_with_the_error(kind):
    """Also where a coroutine blocks the event loop itself."""
    program = f"""
        import threading
        import numpy as np
        from skinflow_jax.data.pipeline import Example
        from skinflow_jax.errors import RunError
        from skinflow_jax.rl.rewards import score

        {kind} hangs(completions, examples):
            threading.Event().wait()

        example = Example("a", "diagnosis", {{}}, "acne", {{}}, (np.zeros((28, 28, 3), np.uint8),))
        try:
            score([["x"]], [example], {{"hangs": hangs}}, timeout=0.2)
        except RunError as error:
            raise SystemExit(str(error))
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    lines = ended.stderr.strip().splitlines()
    assert [line for line in lines if "reward" in line] == [
        "reward 'hangs' did not return within 0.2 s for 1 completions: "
        "make it faster or raise rl.reward_timeout"
    ]
    assert "Traceback" not in ended.stderr


def test_the_overlong_penalty_falls_in_a_line_over_the_cache():
    lengths = np.array([[0, 80], [81, 90], [99, 100], [101, 1000]])
    penalty = overlong_penalty(lengths, max_tokens=100, cache=20)
    assert penalty.dtype == np.float32
    expected = np.array([[0, 0], [-0.05, -0.5], [-0.95, -1], [-1, -1]], np.float32)
    np.testing.assert_array_equal(penalty, expected)


@pytest.mark.parametrize("cache", [-1, 0, 101])
def test_an_overlong_cache_out_of_range_is_refused(cache):
    with pytest.raises(ConfigError, match=f"cache={cache} tokens must be from 1 to max_tokens=100"):
        overlong_penalty(np.array([1]), max_tokens=100, cache=cache)
