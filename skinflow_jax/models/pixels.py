"""Pixels as the tower's patch embedding takes them: normalised, a still image in both frames.

Patches travel as uint8 and of one frame, an eighth of the bytes of a processor's float32 patches,
through host memory and to the device; there they become what `Qwen2VLImageProcessor` would have
made of them, to two units in the last place (XLA multiplies by 1/255).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from skinflow_jax.models.config import VisionConfig

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Patches = UInt8[Array, "N S patch_pixels"] | Float[Array, "N S patch_dim"]


def patch_values(patches: Patches, config: VisionConfig) -> Float[Array, "N S patch_dim"]:
    """Float patches as they are; uint8 ones normalised and repeated for each frame."""
    if patches.dtype != jnp.uint8:
        return patches
    channels, frames = config.in_channels, config.temporal_patch_size
    pixels = patches.reshape(*patches.shape[:-1], channels, 1, -1).astype(jnp.float32) / 255
    mean, std = (np.array(x, np.float32)[:, None, None] for x in (CLIP_MEAN, CLIP_STD))
    pixels = jnp.broadcast_to(
        (pixels - mean) / std, (*pixels.shape[:-2], frames, config.patch_size**2)
    )
    return pixels.reshape(*patches.shape[:-1], config.patch_dim)
