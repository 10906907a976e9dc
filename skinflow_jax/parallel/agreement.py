"""What one process finds, all of them act upon: none goes on alone, none waits for the others."""

import contextlib
import functools
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from skinflow_jax.errors import (
    BAD_INPUT,
    STOPPED,
    ConfigError,
    InputError,
    RunError,
    StartAgain,
    exit_code,
    one_line,
)

T = TypeVar("T")
_alone = ContextVar("alone", default=False)


def _is_alone() -> bool:
    """Whether there is nobody to agree with: one process, or what one of them does for all."""
    return jax.process_count() == 1 or _alone.get()


@contextlib.contextmanager
def _by_itself() -> Iterator[None]:
    """In the block this process asks the others nothing: they do something else."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def gather(value: Any) -> list[Any]:
    """`value` of every process, in their order; it is pickled: the processes trust each other."""
    if _is_alone():
        return [value]
    data = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(data.size)).reshape(-1)
    # Of few sizes: each is a program.
    padded = np.zeros(1 << int(sizes.max()).bit_length(), np.uint8)
    padded[: data.size] = data
    rows = np.asarray(multihost_utils.process_allgather(padded))
    return [pickle.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]


def all_rows(x: jax.Array) -> np.ndarray:
    """An array over all processes, whole in each."""
    if x.is_fully_addressable:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))


def anywhere(flag: bool) -> bool:
    """Whether `flag` is true in any process; all of them must ask."""
    if _is_alone():
        return bool(flag)
    return bool(multihost_utils.process_allgather(np.array([flag])).any())


def together(action: Callable[[], T], kinds: Sequence[type[BaseException]] = ()) -> T:
    """`action()` in every process; where it fails in one, it fails in all.

    All raise the gravest kind of error that was met, those that did not meet it with the message of
    the first that did. `kinds`: of errors with a kind of their own, from harmless to grave; graver
    are InputError, RunError and StartAgain.
    """
    if _is_alone():
        return action()
    kinds = (*kinds, InputError, RunError, StartAgain)
    result, error, told = None, None, None
    try:
        result = action()
    except BaseException as found:  # a signal's too: the others wait
        error, told = found, [_gravity(found, kinds), _said(found)]
    failed = {i: found for i, found in enumerate(gather(told)) if found}
    if not failed:
        return result
    process, (gravest, message) = max(failed.items(), key=lambda item: (item[1][0], -item[0]))
    if error is not None and told[0] == gravest:
        raise error
    raise kinds[gravest](f"{message} (process {process})") from error


def agreed(items: Iterator[T]) -> Iterator[T]:
    """`items`, of which every process makes its own; one that fails in one ends all."""
    end = object()
    while (item := together(functools.partial(next, items, end))) is not end:
        yield item


def first_then_all(action: Callable[[], T]) -> T:
    """`action()` in the first process, then in the others: they find what it has made."""
    if not jax.distributed.is_initialized():
        return action()
    first = jax.process_index() == 0
    result = together(lambda: _done_alone(action) if first else None)
    return result if first else _done_alone(action)


def by_the_first(action: Callable[[], T], kinds: Sequence[type[BaseException]] = ()) -> T:
    """What `action()` gives in the first process, in all of them; the others do not call it."""
    first = jax.process_index() == 0
    return gather(together(lambda: _done_alone(action) if first else None, kinds))[0]


def _done_alone(action: Callable[[], T]) -> T:
    with _by_itself():
        return action()


def check_same(what: str, value: Any) -> None:
    """Raise ConfigError, in all processes, where `value` is not the same in all of them.

    Of dicts the first field that differs is named.
    """
    values = gather(value)
    for process, other in enumerate(values):
        if other != values[0]:
            raise ConfigError(
                f"process {process} has another {what} than process 0: "
                f"{_difference(values[0], other)}; start all of them with the same"
            )


def _gravity(error: BaseException, kinds: Sequence[type[BaseException]]) -> int:
    if type(error) in kinds:
        return kinds.index(type(error))
    if isinstance(error, STOPPED):
        return kinds.index(StartAgain)
    return kinds.index(InputError if exit_code(error) == BAD_INPUT else RunError)


def _said(error: BaseException) -> str:
    return str(error) if exit_code(error) is not None else one_line(error)


def _difference(ours: Any, theirs: Any, name: str = "") -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)]
        parts = (ours.get(keys[0]), theirs.get(keys[0]), f"{name}.{keys[0]}".lstrip("."))
        return _difference(*parts)
    return f"{name + ' ' if name else ''}{theirs!r}, not {ours!r}"
