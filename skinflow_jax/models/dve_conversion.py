"""A pretrained static model made dynamic."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import DveConfig, VisionConfig
from skinflow_jax.models.layers import layer, parameter_count
from skinflow_jax.models.vision import (
    STACKS,
    VisionTower,
    abstract_tower,
    block_place,
    stack_blocks,
)
from skinflow_jax.models.vlm import Vlm, with_tower
from skinflow_jax.parallel import as_read


def with_dve(model: Vlm, dve: DveConfig, *, seed: int = 0, mesh=None) -> Vlm:
    """`model` with dynamic maps in its vision tower: the same function until it is trained.

    The language model's arrays are shared with `model`, which is returned as it is if it has this
    very `dve`. `seed` draws the gates' hidden layers. Raises ConfigError when the model has another
    one or `dve` does not fit it.
    """
    vision = dataclasses.replace(model.config.vision, dve=dve)
    if model.config.vision == vision:
        return model
    if model.config.vision.dve is not None:
        raise ConfigError(
            f"model.dve={vision.dve}, but the checkpoint is dynamic already, as "
            f"{model.config.vision.dve}: leave model.dve out to keep that"
        )
    convert = functools.partial(_dynamic_tower, config=vision)
    return with_tower(model, vision, convert, seed=seed, mesh=mesh)


def _dynamic_tower(static: VisionTower, key: jax.Array, config: VisionConfig) -> VisionTower:
    tower = abstract_tower(config)
    tower.patch_embedding, tower.merger = static.patch_embedding, static.merger

    def block(index):
        stack, place = block_place(static.config, index)
        return layer(getattr(static, stack), place)

    for stack in STACKS:
        if chosen := stack_blocks(config, stack):
            blocks = jax.tree.map(lambda *arrays: jnp.stack(arrays), *map(block, chosen))
            setattr(tower, stack, blocks)

    def make(block, key):
        return block.made_dynamic(config.dve, rngs=nnx.Rngs(params=key))

    keys = jax.random.split(key, len(config.dynamic_blocks))
    dtype = static.patch_embedding.kernel.dtype
    dynamic = jax.vmap(make)(tower.dynamic, keys)
    tower.dynamic = as_read(dynamic, dtype)
    return tower


def describe_dve(model: Vlm) -> str:
    """Which layers are dynamic, and what they cost; empty for a static model."""
    vision = model.config.vision
    if vision.dve is None:
        return ""
    static = dataclasses.replace(vision, dve=None)
    before = parameter_count(abstract_tower(static))
    extra = parameter_count(model.vision) - before
    return (
        f"dynamic vision encoder: {', '.join(vision.dve.linears)} of blocks "
        f"{', '.join(map(str, vision.dve.blocks))} in {vision.dve.groups} frequency groups, "
        f"{parameter_count(model.vision.dynamic.mlp):,} parameters; they add {extra:,} to the "
        f"tower's {before:,} ({extra / before:.1%})"
    )
