"""What the vision tower makes of a case's images, as one vector."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.parallel import constrain


@functools.partial(jax.jit, static_argnames="compute")
def image_features(model: Vlm, inputs: ModelInputs, compute: ComputeConfig) -> Float[Array, "P D"]:
    """The mean of each image's tokens after the merger, and of those the mean over the images.

    In float32, empty slots and images apart; 0 where a row has no image. Our choice: images count
    the same, however many tokens they have.
    """
    tokens = model.vision(
        *inputs.images(), dtype=jnp.dtype(compute.dtype), remat=compute.remat
    ).astype(jnp.float32)
    rows, images = inputs.patch_mask.shape[:2]
    unit = model.config.vision.merge_unit
    there = inputs.patch_mask.reshape(rows, images, -1, unit).any(axis=-1)
    of_images = _mean(tokens.reshape(*there.shape, tokens.shape[-1]), there)
    return constrain(_mean(of_images, there.any(axis=-1)), "batch", None)


def _mean(x: jax.Array, there: jax.Array) -> jax.Array:
    """Over the last axis but one, of what is there."""
    total = jnp.where(there[..., None], x, 0).sum(axis=-2)
    return total / jnp.maximum(there.sum(axis=-1), 1)[..., None]
