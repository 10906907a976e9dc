"""Checkpoints over several processes: damage that one finds all of them find."""

import functools

from skinflow_jax.checkpoints.checksums import Damaged, Unreadable
from skinflow_jax.parallel.agreement import by_the_first as _by_the_first
from skinflow_jax.parallel.agreement import together as _together

_KINDS = (Damaged, Unreadable)
together = functools.partial(_together, kinds=_KINDS)

by_the_first = functools.partial(_by_the_first, kinds=_KINDS)
