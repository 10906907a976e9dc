"""A model given low-rank adapters, and freed of them again (Hu et al. 2021)."""

import dataclasses

import jax
from flax import nnx

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.adapters import add_adapters, drop_adapters, fold_adapters
from skinflow_jax.models.config import LoraConfig, VlmConfig
from skinflow_jax.models.vlm import Vlm


def with_lora(model: Vlm, lora: LoraConfig, *, seed: int = 0, mesh=None) -> Vlm:
    """`model` with adapters: the same function until it is trained.

    Its arrays are shared with `model`, which is returned as it is if it has these very adapters.
    `seed` draws their first factors; on `mesh` they are sharded by the training rules. Raises
    ConfigError when the model has others.
    """
    if model.config.lora == lora:
        return model
    if model.config.lora is not None:
        raise ConfigError(
            f"model.lora={lora}, but the checkpoint has adapters already, {model.config.lora}: "
            "leave model.lora out to train those on, or export it (skinflow export-hf) to fold "
            "them in and start from there"
        )
    adapted = _copy(model, dataclasses.replace(model.config, lora=lora, trainable="all"))
    add_adapters(adapted, lora, rngs=nnx.Rngs(params=seed), mesh=mesh)
    return adapted


def without_adapters(model: Vlm) -> Vlm:
    """The model under the adapters; its arrays are shared with `model`."""
    return _plain(model, drop_adapters)


def merged(model: Vlm) -> Vlm:
    """The plain model that computes what `model` does: adapters are folded into their kernels."""
    return _plain(model, fold_adapters)


def _plain(model: Vlm, change) -> Vlm:
    lora = model.config.lora
    plain = _copy(model, dataclasses.replace(model.config, lora=None))
    if lora is not None:
        change(plain, lora)
    return plain


def _copy(model: Vlm, config: VlmConfig) -> Vlm:
    copy = jax.tree.map(lambda array: array, model)
    copy.config = config
    return copy
