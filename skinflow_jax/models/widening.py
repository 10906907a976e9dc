"""A static tower with more parameters, the baseline for a dynamic one of the same size."""

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.vision import VisionTower, abstract_tower
from skinflow_jax.models.vlm import Vlm, with_tower


def with_extra_width(model: Vlm, units: int, *, seed: int = 0, mesh=None) -> Vlm:
    """`model` with `units` more hidden units in every feed-forward part of its vision tower.

    The new units have random input weights and zero output weights, so the function is the same
    (Net2Net's idea, Chen et al. 2016; our variant). The language model's arrays are shared.
    Raises ConfigError when the tower is dynamic.
    """
    config = model.config
    if config.vision.dve is not None:
        raise ConfigError(
            f"model.extra_width={units} widens a static tower, this one has {config.vision.dve}"
        )
    vision = dataclasses.replace(
        config.vision, intermediate_size=config.vision.intermediate_size + units
    )
    widen = functools.partial(_wide_tower, config=vision, scale=config.initializer_range)
    return with_tower(model, vision, widen, seed=seed, mesh=mesh)


def _wide_tower(static: VisionTower, key: jax.Array, config, scale: float) -> VisionTower:
    def widened(path, wanted, old):
        extra = [new - size for new, size in zip(wanted.shape, old.shape, strict=True)]
        if not any(extra):
            return old
        new = jnp.pad(old, [(0, more) for more in extra])
        name = jax.tree_util.keystr(path)
        if ".down" in name or ".kernel" not in name:
            return new
        noise = jax.random.normal(jax.random.fold_in(key, zlib.crc32(name.encode())), new.shape)
        is_new = jnp.arange(new.shape[-1]) >= old.shape[-1]
        return jnp.where(is_new, (noise * scale).astype(old.dtype), new)

    old, _ = jax.tree_util.tree_flatten_with_path(static)
    wanted, structure = jax.tree.flatten(abstract_tower(config))
    new = [widened(path, leaf, array) for (path, array), leaf in zip(old, wanted, strict=True)]
    return jax.tree.unflatten(structure, new)
