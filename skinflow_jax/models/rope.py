"""Rotary positions: M-RoPE of the language model, 2-D rope of the vision tower.

Both rotate the pair (i, i + h/2) of a head of size h by position * theta^(-2i/h); they differ in
which of a token's positions a pair follows. Source: modeling_qwen2_5_vl.py of transformers.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from skinflow_jax.models.config import TextConfig, VisionConfig


def text_rotation(
    positions: Int[Array, "... 3 L"], config: TextConfig
) -> Float[Array, "2 ... L half_head"]:
    """Cosine and sine by (time, row, column): `mrope_section` pairs follow each in turn."""
    half = config.head_dim // 2
    frequency = config.rope_theta ** (-np.arange(half, dtype=np.float32) / half)
    axis_of_pair = np.repeat(np.arange(3), config.mrope_section)
    per_pair = jnp.moveaxis(positions, -2, -1)[..., axis_of_pair]
    return _rotation(per_pair.astype(jnp.float32) * frequency)


def vision_rotation(
    positions: Int[Array, "... 2"], config: VisionConfig
) -> Float[Array, "2 ... half_head"]:
    """Cosine and sine by (row, column) of a patch: the first half of the pairs follows the row."""
    quarter = config.head_dim // 4
    frequency = config.rope_theta ** (-np.arange(quarter, dtype=np.float32) / quarter)
    angles = positions[..., None].astype(jnp.float32) * frequency
    return _rotation(angles.reshape(*positions.shape[:-1], 2 * quarter))


def _rotation(angles):
    # A barrier: computed once for all layers; XLA would recompute them for every head of each.
    return jax.lax.optimization_barrier(jnp.stack([jnp.cos(angles), jnp.sin(angles)]))


def rotate(
    x: Float[Array, "... L head"], rotation: Float[Array, "2 ... L half_head"]
) -> Float[Array, "... L head"]:
    """`x` rotated by `rotation`, (cosine, sine) that broadcast to its leading axes; float32."""
    cos, sin = rotation
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x.dtype)
