"""Completions to rewards: the built-in reward functions, and how functions are called and checked.

A reward function, built-in or the user's, takes the completions of a step and the example of each
(so an example occurs G times) and returns one value for each completion: a finite number, or None
where it does not apply. It may be a coroutine function.
"""

import copy
import dataclasses
import functools
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from numbers import Real

import numpy as np

from skinflow_jax.clinical import caption_reward, diagnosis_reward
from skinflow_jax.clinical.rewards import Scale
from skinflow_jax.clinical.wording import same_answer
from skinflow_jax.data.pipeline import Example
from skinflow_jax.errors import ConfigError, RunError, one_line, shortened
from skinflow_jax.rl.concurrent_calls import call_together, thread_name
from skinflow_jax.rl.process_state import RewardProcess
from skinflow_jax.typed_fields import shown

Rewards = Sequence[float | None]
RewardFunction = Callable[[list[str], list[Example]], Rewards | Awaitable[Rewards]]


def caption(completions: list[str], examples: list[Example]) -> list[float | None]:
    """Caption reward of caption prompts; None for other tasks, or where nothing is known."""
    return [
        caption_reward(text, example.caption, example.schema)
        if example.task == "caption" and example.caption
        else None
        for text, example in zip(completions, examples, strict=True)
    ]


def diagnosis(completions: list[str], examples: list[Example], **options) -> list[float | None]:
    """Diagnosis reward of diagnosis prompts, by `options` of its own; None for other tasks."""
    return [
        diagnosis_reward(text, example.diagnosis, **options)
        if example.task == "diagnosis"
        else None
        for text, example in zip(completions, examples, strict=True)
    ]


def question(completions: list[str], examples: list[Example]) -> list[float | None]:
    """1 where the row's own answer is given, 0 elsewhere; None for other tasks and no answer."""
    return [
        float(same_answer(text, example.answer))
        if example.task == "question" and example.answer
        else None
        for text, example in zip(completions, examples, strict=True)
    ]


# The column of `overlong_penalty` in the metrics.
OVERLONG = "overlong"
# The squares of their weighted sums, added up over a batch, have to fit in float32.
LARGEST_REWARD = 1e10
FILE_FORM = "path/to/file.py:function"
SCALES: dict[str, Scale] = {"diagnosis": "linear", "diagnosis_reciprocal": "reciprocal"}
"""The rewards that take options of `diagnosis_reward`, and what each makes of a rank."""
REWARDS: dict[str, RewardFunction] = {
    "caption": caption,
    **{name: functools.partial(diagnosis, scale=scale) for name, scale in SCALES.items()},
    "question": question,
}


def check_reward_names(names: Sequence[str]) -> None:
    """Raise ConfigError for no name, or one that is neither built in nor a place in a file."""
    choices = f"choose from {', '.join(REWARDS)}, or name a function of yours as {FILE_FORM}"
    if not names:
        raise ConfigError(f"rl.rewards is empty: {choices}")
    for entry in names:
        if entry not in REWARDS and ":" not in entry and not entry.endswith(".py"):
            raise ConfigError(f"rl.rewards: {entry!r} is unknown: {choices}")


def overlong_penalty(lengths: np.ndarray, *, max_tokens: int, cache: int) -> np.ndarray:
    """Soft overlong reward in [-1, 0], float32 of the shape of `lengths` (tokens); DAPO, eq. 13.

    0 up to `max_tokens - cache`, from there down in a line to -1 at `max_tokens`, -1 beyond.
    Raises ConfigError unless 1 <= cache <= max_tokens.
    """
    if not 1 <= cache <= max_tokens:
        raise ConfigError(
            f"overlong cache={cache} tokens must be from 1 to max_tokens={max_tokens}"
        )
    return np.clip((max_tokens - cache - np.asarray(lengths)) / cache, -1, 0).astype(np.float32)


def score(
    completions: Sequence[Sequence[str]],
    examples: Sequence[Example],
    functions: Mapping[str, RewardFunction],
    *,
    timeout: float | None = None,
    process: RewardProcess | None = None,
) -> np.ndarray:
    """Rewards float32 `[P, G, R]` of G completions for each example; NaN is "not scored".

    The functions run at the same time, each on its own copy of the examples and under the limit of
    `timeout` seconds (None: no limit); `call_together` says what becomes of one that does not
    return. `process` is the state of the process that they share (None: the run's, put back after
    them). Raises RunError, in one line that names the reward and where possible the sample, when a
    function raises, takes too long, or returns anything but one finite number or None for each
    completion.

    A function that raised is called again with one sample at a time, to find the one it fails on,
    within `timeout` seconds in all; only then. The original exception is the cause of the error.
    """
    texts = [text for group in completions for text in group]
    repeated = [
        example for example, group in zip(examples, completions, strict=True) for _ in group
    ]
    with (process or RewardProcess()).entered():
        calls = call_together(functions, lambda: _own_copies(texts, repeated), timeout=timeout)
        for name, call in calls.items():
            if error := call.exception():
                raise _failed(name, functions[name], error, texts, repeated, timeout) from error
    late = [name for name in functions if name not in calls]
    if late:
        raise RunError(
            f"reward {', '.join(map(repr, late))} did not return within {timeout:g} s for "
            f"{len(texts)} completions: make it faster or raise rl.reward_timeout"
        )
    columns = [_column(name, call.result(), texts, repeated) for name, call in calls.items()]
    return np.array(columns, np.float32).T.reshape(len(examples), -1, len(functions))


_OWN = ("caption", "attributes", "soft", "columns")


def _own_copies(texts: list[str], examples: list[Example]) -> tuple[list[str], list[Example]]:
    """The arguments of one function, its own to change but for the images, which are read-only."""
    copies = {id(example): example for example in examples}
    for key, example in copies.items():
        views = tuple(image.view() for image in example.images)
        for image in views:
            image.flags.writeable = False
        own = {name: copy.deepcopy(getattr(example, name)) for name in _OWN}
        copies[key] = dataclasses.replace(example, images=views, **own)
    return list(texts), [copies[id(example)] for example in examples]


def _failed(
    name: str, function: RewardFunction, error, texts, examples, timeout: float | None
) -> RunError:
    """What to say of a function that raised `error` on the batch."""
    index = _first_failing(function, texts, examples, type(error), timeout)
    where = f"{len(texts)} completions, though on none that was tried alone"
    if index is not None:
        where = _sample(texts, examples, index)
    remedy = "mend the function, or let it return None for what it cannot score"
    if "main thread" in str(error):
        remedy = (
            f"it runs in the thread {thread_name(name, function)!r}, where no signal can be set: "
            "use rl.reward_timeout for a time limit, or a process of its own"
        )
    return RunError(f"reward {name!r} raised {one_line(error)} on {where}: {remedy}")


def _first_failing(
    function: RewardFunction,
    texts: list[str],
    examples: list[Example],
    kind: type[BaseException],
    timeout: float | None,
) -> int | None:
    """Index of the first sample that raises `kind` when alone; None if none does in time."""
    end = None if timeout is None else time.monotonic() + timeout
    for index in range(len(texts)):
        left = None if end is None else max(end - time.monotonic(), 0)
        row = slice(index, index + 1)
        arguments = functools.partial(_own_copies, texts[row], examples[row])
        call = call_together({"": function}, arguments, timeout=left).get("")
        if call is None:
            return None
        if isinstance(call.exception(), kind):
            return index
    return None


def _column(name: str, values, texts: list[str], examples: list[Example]) -> list[float]:
    """The checked values of one function, NaN where it gave None."""
    if not isinstance(values, list | tuple | np.ndarray) or getattr(values, "ndim", 1) == 0:
        raise RunError(
            f"reward {name!r} returned {type(values).__name__}: "
            "return a list with a number or None for each completion"
        )
    values = list(values)
    if len(values) != len(texts):
        raise RunError(
            f"reward {name!r} returned {len(values)} values for {len(texts)} completions: "
            "return one for each, None where it does not apply"
        )
    column = [np.nan if value is None else _number(value) for value in values]
    if None in column:
        index = column.index(None)
        raise RunError(
            f"reward {name!r} gave {shown(values[index])} for {_sample(texts, examples, index)}: "
            "return a finite number, or None where it does not apply; "
            f"the largest may be {LARGEST_REWARD:g}"
        )
    return column


def _number(value) -> float | None:
    """A finite number of any kind as a float; None for what is none, NaN too."""
    try:
        if getattr(value, "ndim", None) == 0:
            value = value.item()
        number = float(value) if isinstance(value, Real | Decimal) else math.nan
    except Exception:  # numbers beyond a float's, and what only claims to be one
        return None
    return number if abs(number) <= LARGEST_REWARD else None


def _sample(texts: list[str], examples: list[Example], index: int) -> str:
    example = examples[index]
    return (
        f"case {example.case_id} ({example.task}, sample {index} of {len(texts)}, "
        f"completion {shortened(repr(texts[index]), 60)})"
    )
