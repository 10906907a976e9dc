"""What each layer gives, one after another: to compare with another implementation."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.layers import layer
from skinflow_jax.models.pixels import patch_values
from skinflow_jax.models.rope import vision_rotation
from skinflow_jax.models.vision import block_place
from skinflow_jax.models.vlm import DEFAULT_COMPUTE, Vlm, embed_prompt, visible_prompt


def layer_states(model: Vlm, inputs: ModelInputs) -> Iterator[tuple[str, np.ndarray]]:
    """(name, outputs `[tokens, width]`) of every layer for one unpadded prompt, float32.

    "vision block i" of patches in the order of slots, window by window; "merger" of image tokens
    in that order; "decoder layer i", and "head" with the logits.
    """
    inputs = jax.tree.map(jnp.asarray, inputs)
    yield from _vision_states(model, inputs)
    embed = jax.jit(embed_prompt, static_argnames="compute")
    visible, x = visible_prompt(model, inputs), embed(model, inputs, compute=DEFAULT_COMPUTE)
    apply = jax.jit(lambda block, x, visible: block(x, visible)[0])
    for i in range(model.config.text.num_layers):
        x = apply(layer(model.decoder.layers, i), x, visible)
        yield f"decoder layer {i}", np.asarray(x[0, 0])
    yield "head", np.asarray(model.decoder.logits(model.decoder.norm(x))[0, 0])


def _vision_states(model: Vlm, inputs: ModelInputs) -> Iterator[tuple[str, np.ndarray]]:
    vision, config = model.vision, model.config.vision
    patches, mask, positions = inputs.images()
    rotation, real = vision_rotation(positions, config), np.asarray(mask)
    apply = jax.jit(lambda block, x, group: block(x, rotation, mask, group)[0], static_argnums=2)
    x = vision.patch_embedding(patch_values(patches, config))
    for i in range(config.depth):
        stack, place = block_place(config, i)
        full = i in config.full_attention_blocks
        group = x.shape[1] if full else config.window_patches
        x = apply(layer(getattr(vision, stack), place), x, group)
        yield f"vision block {i}", np.asarray(x)[real]
    yield "merger", np.asarray(vision.merger(x))[real[:, :: config.merge_unit]]
