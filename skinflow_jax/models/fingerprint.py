"""Whether two models are the same, bit for bit, without keeping both."""

import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from skinflow_jax.models.trainable import parameter_path

_BITS = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def model_fingerprint(model) -> str:
    """16 hexadecimal digits of all parameters: names, shapes, types and bits.

    Sums of integers modulo 2^32 are exact in any order: the same on every mesh and processor. It
    notices change by accident, not by design.
    """
    digest = hashlib.sha256()
    paths = jax.tree_util.tree_flatten_with_path(model)[0]
    for (path, leaf), sums in zip(paths, jax.device_get(_sums(model)), strict=True):
        name = "/".join(parameter_path(path))
        digest.update(f"{name} {leaf.shape} {leaf.dtype} ".encode() + np.asarray(sums).tobytes())
    return digest.hexdigest()[:16]


@jax.jit
def _sums(model) -> list[jax.Array]:
    return [_sum(leaf) for leaf in jax.tree.leaves(model)]


def _sum(x: jax.Array) -> jax.Array:
    """uint32 `[2]`: two sums over the array's bits, each mixed with its place."""
    bits = jax.lax.bitcast_convert_type(x, _BITS[x.dtype.itemsize]).astype(jnp.uint32)
    place = functools.reduce(
        lambda place, axis: (
            place * np.uint32(x.shape[axis]) + jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis)
        ),
        range(x.ndim),
        jnp.zeros(x.shape, jnp.uint32),
    )
    seeds = (0x9E3779B9, 0x85EBCA6B)
    return jnp.stack([jnp.sum(_mixed(bits ^ _mixed(place + np.uint32(s)))) for s in seeds])


def _mixed(x: jax.Array) -> jax.Array:
    """A bijection of uint32 in which every bit moves half of the others (MurmurHash3's last)."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
