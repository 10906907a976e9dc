"""Checkpoints over several processes: damage that one finds all of them find."""

import functools

import jax
import numpy as np
from jax.experimental import multihost_utils

from skinflow_jax.checkpoints.checksums import Damaged, Unreadable
from skinflow_jax.parallel.agreement import together as _together

together = functools.partial(_together, kinds=(Damaged, Unreadable))


def first_of(step: int | None) -> int | None:
    """The first process's `step`, in all of them."""
    if jax.process_count() == 1:
        return step
    found = multihost_utils.broadcast_one_to_all(np.int32(-1 if step is None else step))
    return None if found < 0 else int(found)
