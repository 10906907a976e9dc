"""Numbers that say what a pytree's arrays hold, computed where the arrays are.

A tensor's sum is that of its parts, in any order: a fingerprint is the same on one device and on a
mesh of many hosts. Each process sums what it holds, and only the sums travel, in one collective.
One flipped bit always changes a fingerprint, other damage to a tensor but for once in 2^32.
"""

import functools
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils

from skinflow_jax.checkpoints.named_tensors import named_leaves

_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32}


@dataclass(frozen=True)
class Fingerprint:
    """`sums`: type, shape and sum of each tensor, by name. `not_finite`: those with NaN or inf."""

    sums: dict[str, str]
    not_finite: list[str]

    def of(self, prefix: str = "") -> str:
        """One hash (hexadecimal) over the tensors whose names begin with `prefix`."""
        lines = [f"{name} {s}\n" for name, s in self.sums.items() if name.startswith(prefix)]
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def fingerprint(tree: Any) -> Fingerprint:
    """Of all arrays in `tree`; all processes that share them must ask."""
    named = named_leaves(tree)
    parts = jax.device_get([[_sum(*part) for part in _parts(x)] for x in named.values()])
    broken = [sum(not finite for finite, _ in found) for found in parts]
    totals = [sum(int(total) for _, total in found) % 2**32 for found in parts]
    table = np.array([broken, totals], np.uint32)
    if jax.process_count() > 1:
        table = multihost_utils.process_allgather(table).sum(axis=0, dtype=np.uint32)
    sums = {
        name: f"{x.dtype}{list(x.shape)} {int(total):08x}"
        for (name, x), total in zip(named.items(), table[1], strict=True)
    }
    return Fingerprint(sums, [n for n, count in zip(named, table[0], strict=True) if count])


def _parts(x) -> Iterator[tuple[Any, tuple[int, ...], tuple[int, ...]]]:
    """What this process sums of an array: parts, the place of each and the whole shape."""
    if getattr(x, "is_fully_addressable", True) and jax.process_index() != 0:
        return  # each process has its own, and would add it
    if not isinstance(x, jax.Array) or len(x.sharding.device_set) == 1:
        yield (x if isinstance(x, jax.Array) else np.asarray(x)), (0,) * x.ndim, x.shape
        return
    for shard in x.addressable_shards:
        if shard.replica_id == 0:
            yield shard.data, tuple(part.start or 0 for part in shard.index), x.shape


def _sum(x, start: tuple[int, ...], whole: tuple[int, ...]):
    """Whether all values are finite; the sum modulo 2^32 of the bits times odd weights."""
    # What lies on the host is sooner summed there than a program is compiled for it.
    on_host = isinstance(x, np.ndarray) or all(d.platform == "cpu" for d in x.devices())
    if on_host and (x.size < 2**22 or x.shape == whole):
        return sum_on_host(np.asarray(x), start, whole)
    return sum_on_device(x, np.array(start, np.uint32), whole)


def sum_on_host(x: np.ndarray, start, whole: tuple[int, ...]) -> tuple[np.bool, np.uint32]:
    """See `_sum`."""
    if x.shape == whole:
        return _sum_in_blocks(x)
    bits = np.ascontiguousarray(x).view(_UNSIGNED[x.dtype.itemsize]).reshape(x.shape)
    return _finite(x), np.sum(bits * _weights(np, x.shape, start, whole), dtype=np.uint32)


def _sum_in_blocks(x: np.ndarray) -> tuple[np.bool, np.uint32]:
    """Of a whole array, of which beside it a block is held: its places simply count on."""
    flat, finite, total = np.ascontiguousarray(x).reshape(-1), np.True_, 0
    bits, weights = flat.view(_UNSIGNED[x.dtype.itemsize]), _counting_weights()
    for first in range(0, flat.size, len(weights)):
        part = bits[first : first + len(weights)]
        total += int(np.sum(part * weights[: len(part)], dtype=np.uint32))
        total += int(np.sum(part, dtype=np.uint32)) * 2 * first
        finite &= _finite(flat[first : first + len(weights)])
    return finite, np.uint32(total % 2**32)


@functools.cache
def _counting_weights() -> np.ndarray:
    return np.arange(2**18, dtype=np.uint32) * np.uint32(2) + np.uint32(1)


def _finite(x: np.ndarray) -> np.bool:
    with np.errstate(invalid="ignore"):  # bfloat16's isfinite complains of NaN
        return np.isfinite(x).all() if jnp.issubdtype(x.dtype, jnp.inexact) else np.True_


@functools.partial(jax.jit, static_argnames="whole")
def sum_on_device(x: jax.Array, start, whole: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """See `_sum`; equal to what `sum_on_host` gives."""
    kind = x.dtype
    x = x.astype(jnp.uint8) if kind == jnp.bool else x
    bits = lax.bitcast_convert_type(x, _UNSIGNED[kind.itemsize]).astype(jnp.uint32)
    finite = jnp.bool(True)
    if jnp.issubdtype(kind, jnp.inexact):
        # By its exponent: old processors have no arithmetic of float16, and XLA none for them.
        exponent = (1 << jnp.finfo(kind).nexp) - 1 << jnp.finfo(kind).nmant
        finite = (bits & exponent != exponent).all()
    return finite, jnp.sum(bits * _weights(jnp, x.shape, start, whole), dtype=jnp.uint32)


def _weights(xp, shape: tuple[int, ...], start, whole: tuple[int, ...]):
    """For each element an odd number by its row-major place in the whole array, modulo 2^32."""
    place = xp.zeros(shape, xp.uint32)
    for axis, length in enumerate(shape):
        stride = xp.uint32(math.prod(whole[axis + 1 :]) % 2**32)
        line = (xp.arange(length, dtype=xp.uint32) + xp.asarray(start[axis], xp.uint32)) * stride
        place = place + line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return place * xp.uint32(2) + xp.uint32(1)
