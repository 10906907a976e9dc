"""What one process finds, all of them act upon: none goes on alone, none waits for the others."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from skinflow_jax.checkpoints.checksums import Damaged, Unreadable
from skinflow_jax.errors import (
    BAD_INPUT,
    STOPPED,
    InputError,
    RunError,
    StartAgain,
    exit_code,
)

T = TypeVar("T")

# From harmless to grave: where processes meet different errors, all raise the gravest.
_KINDS = (Damaged, Unreadable, InputError, RunError, StartAgain)


def together(action: Callable[[], T], where: Path) -> T:
    """`action()` in every process; where it fails in one, it fails in all, with the same kind."""
    if jax.process_count() == 1:
        return action()
    result, error, grave = None, None, 0
    try:
        result = action()
    except BaseException as found:  # a signal's too: the others wait
        error, grave = found, _gravity(found)
    gravest = int(multihost_utils.process_allgather(np.array([grave])).max())
    if gravest == 0:
        return result
    if error is not None and grave == gravest:
        raise error
    raise _KINDS[gravest - 1](f"{where}: another process leaves and says why")


def first_of(step: int | None) -> int | None:
    """The first process's `step`, in all of them."""
    if jax.process_count() == 1:
        return step
    found = multihost_utils.broadcast_one_to_all(np.int32(-1 if step is None else step))
    return None if found < 0 else int(found)


def _gravity(error: BaseException) -> int:
    if isinstance(error, STOPPED):
        return len(_KINDS)
    kind = InputError if exit_code(error) == BAD_INPUT else RunError
    return _KINDS.index(type(error) if type(error) in _KINDS else kind) + 1
