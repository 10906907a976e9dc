"""Numbers that say what a pytree's arrays hold, computed where the arrays are.

Sums of integers do not depend on their order: a fingerprint is the same on one device and on a mesh
of many hosts, and nothing is gathered for it. One flipped bit always changes it, other damage to a
tensor but for once in 2^32.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

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
    found = jax.device_get({name: _sum(leaf) for name, leaf in named.items()})
    sums = {
        name: f"{named[name].dtype}{list(named[name].shape)} {int(total):08x}"
        for name, (_, total) in found.items()
    }
    return Fingerprint(sums, [name for name, (finite, _) in found.items() if not finite])


def _sum(x: jax.Array):
    """Whether all values are finite; the sum modulo 2^32 of the bits times odd weights."""
    return sum_on_host(np.asarray(x)) if _is_small(x) else sum_on_devices(x)


def _is_small(x: jax.Array) -> bool:
    """Whether `x` lies on the host and is sooner summed there than a program is compiled for it."""
    if not isinstance(x, jax.Array):
        return True
    return x.is_fully_addressable and x.size < 2**22 and next(iter(x.devices())).platform == "cpu"


def sum_on_host(x: np.ndarray) -> tuple[np.bool, np.uint32]:
    """See `_sum`."""
    with np.errstate(invalid="ignore"):  # bfloat16's isfinite complains of NaN
        finite = np.isfinite(x).all() if jnp.issubdtype(x.dtype, jnp.inexact) else np.True_
    bits = np.ascontiguousarray(x).reshape(-1).view(_UNSIGNED[x.dtype.itemsize])
    weights = 2 * np.arange(x.size, dtype=np.uint32) + np.uint32(1)
    return finite, np.sum(bits * weights, dtype=np.uint32)


@jax.jit
def sum_on_devices(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """See `_sum`; equal to what `sum_on_host` gives."""
    finite = jnp.isfinite(x).all() if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.bool(True)
    return finite, jnp.sum(_bits(x) * (2 * _place(x.shape) + 1), dtype=jnp.uint32)


def _bits(x: jax.Array) -> jax.Array:
    if x.dtype == jnp.bool:
        return x.astype(jnp.uint32)
    return lax.bitcast_convert_type(x, _UNSIGNED[x.dtype.itemsize]).astype(jnp.uint32)


def _place(shape: tuple[int, ...]) -> jax.Array:
    """Each element's number in row-major order, modulo 2^32."""
    place = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        stride = math.prod(shape[axis + 1 :]) % 2**32
        place += lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride)
    return place
