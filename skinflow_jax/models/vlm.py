"""The whole model: image features into token slots; prefill, completion, decoding on one path."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.adapters import add_adapters
from skinflow_jax.models.config import VisionConfig, VlmConfig
from skinflow_jax.models.decoder import Decoder, Visible
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.prefix import Prefix
from skinflow_jax.models.vision import VisionTower
from skinflow_jax.parallel import as_read, constrain, module_shardings


class Vlm(nnx.Module):
    """Qwen2.5-VL. Parameters are float32; activations have `dtype`."""

    def __init__(self, config: VlmConfig, *, rngs: nnx.Rngs):
        self.vision = VisionTower(config.vision, config.initializer_range, rngs=rngs)
        self.decoder = Decoder(config.text, config.initializer_range, rngs=rngs)
        self.config = config
        if config.lora is not None:
            add_adapters(self, config.lora, rngs=rngs)


def init_model(config: VlmConfig, seed: int = 0, mesh=None, dtype: str = "float32") -> Vlm:
    """A model with random weights, a function of `seed` alone.

    On `mesh` each device makes its part of them, by the training rules. `dtype`: of the parameters,
    but for those that are read in float32.
    """
    shardings = None if mesh is None else module_shardings(abstract_model(config), mesh)
    make = jax.jit(_random_model, static_argnums=(0, 2), out_shardings=shardings)
    return make(config, jax.random.key(seed), dtype)


def _random_model(config: VlmConfig, key: jax.Array, dtype: str) -> Vlm:
    return as_read(Vlm(config, rngs=nnx.Rngs(params=key)), dtype)


def abstract_model(config: VlmConfig) -> Vlm:
    """The model's shapes without memory."""
    return jax.eval_shape(lambda: Vlm(config, rngs=nnx.Rngs(params=0)))


def with_tower(model: Vlm, vision: VisionConfig, make, *, seed: int, mesh=None) -> Vlm:
    """`model` with its tower replaced by `make(tower, key)`, of sizes `vision`.

    The language model's arrays are shared with `model`. `make` runs under jit; on `mesh` the new
    tower is sharded by the training rules. Raises ConfigError for a model with adapters.
    """
    if model.config.lora is not None:
        raise ConfigError(
            "the vision tower of a model with LoRA adapters cannot be converted: export the run "
            "(skinflow export-hf), which folds them in, and start from there"
        )
    converted = abstract_model(dataclasses.replace(model.config, vision=vision))
    shardings = None if mesh is None else module_shardings(converted.vision, mesh)
    converted.vision = jax.jit(make, out_shardings=shardings)(model.vision, jax.random.key(seed))
    converted.decoder = model.decoder
    return converted


@dataclass(frozen=True)
class ComputeConfig:
    """How the forward pass computes: activation dtype and rematerialisation.

    `remat`, by layer: `none` saves everything, `dots` the outputs of matrix products and attention
    (on two CPU cores as fast, in half the memory), `full` the layer's input alone.
    """

    dtype: str = "float32"
    remat: str = "none"


DEFAULT_COMPUTE = ComputeConfig()


def embed_prompt(
    model: Vlm, inputs: ModelInputs, compute: ComputeConfig
) -> Float[Array, "P 1 L D"]:
    """Token embeddings with the image features in place of their placeholders."""
    dtype = jnp.dtype(compute.dtype)
    ids = jnp.where(inputs.token_mask, inputs.input_ids, 0)
    x = model.decoder.embed(ids, dtype)
    batch, images = inputs.patches.shape[:2]
    if images:
        features = model.vision(*inputs.images(), dtype=dtype, remat=compute.remat)
        features = features.reshape(batch, -1, x.shape[-1])
        slot = jnp.where(inputs.token_mask, inputs.image_slots, -1)[..., None]
        placed = jnp.take_along_axis(features, jnp.maximum(slot, 0), axis=1)
        x = jnp.where(slot >= 0, placed, x)
    return constrain(x[:, None], "batch", None, None, None)


def prompt_states(
    model: Vlm, inputs: ModelInputs, compute: ComputeConfig = DEFAULT_COMPUTE
) -> tuple[Float[Array, "P L D"], tuple[jax.Array, jax.Array]]:
    """Normed states at every prompt slot, and keys and values `[layers, P, K, L, h]`."""
    states, (keys, values) = model.decoder(
        embed_prompt(model, inputs, compute), visible_prompt(model, inputs), remat=compute.remat
    )
    return states[:, 0], (keys[:, :, :, 0], values[:, :, :, 0])


def visible_prompt(model: Vlm, inputs: ModelInputs) -> Visible:
    """Rotary positions and causal mask of prompts."""
    length = inputs.input_ids.shape[1]
    positions = jnp.where(inputs.token_mask[:, None], inputs.positions, 0)
    causal = jnp.tril(jnp.ones((length, length), bool))
    mask = causal & inputs.token_mask[:, None, None, None, None, :]
    return Visible(model.decoder.rotation(positions[:, None]), mask)


def prefill(model: Vlm, inputs: ModelInputs, compute: ComputeConfig = DEFAULT_COMPUTE) -> Prefix:
    """Run each prompt once; its G rows share the result. Left or right padding."""
    states, (keys, values) = prompt_states(model, inputs, compute)
    length = inputs.token_mask.shape[1]
    last = length - 1 - jnp.argmax(inputs.token_mask[:, ::-1], axis=1)
    return Prefix(
        keys=keys,
        values=values,
        mask=inputs.token_mask,
        last_hidden=jnp.take_along_axis(states, last[:, None, None], axis=1)[:, 0],
        next_position=inputs.next_position,
    )


def completion_states(
    model: Vlm,
    prefix: Prefix,
    completions: Int[Array, "P G T"],
    compute: ComputeConfig = DEFAULT_COMPUTE,
) -> Float[Array, "P G T D"]:
    """States that predict each completion token: the one at t attends to prompt and tokens < t.

    Completions are padded on the right, so that the causal mask alone hides their padding.
    """
    rows, length = completions.shape[:2], completions.shape[2] - 1
    first = jnp.broadcast_to(
        prefix.last_hidden[:, None, None], (*rows, 1, prefix.last_hidden.shape[-1])
    )
    if length == 0:
        return first
    x = model.decoder.embed(completions[:, :, :-1], jnp.dtype(compute.dtype))
    own = jnp.tril(jnp.ones((length, length), bool))
    visible = Visible(
        completion_rotation(model, prefix.next_position, jnp.arange(length)), own, prefix.mask
    )
    states, _ = model.decoder(
        constrain(x, "batch", None, None, None), visible, prefix, remat=compute.remat
    )
    return jnp.concatenate([first.astype(states.dtype), states], axis=2)


def completion_rotation(model: Vlm, next_position: Int[Array, " P"], steps: Int[Array, " T"]):
    """Rotary positions of completions: they count on from the prompt, alike in all three axes."""
    positions = next_position[:, None] + steps
    return model.decoder.rotation(
        jnp.broadcast_to(positions[:, None, None], (positions.shape[0], 1, 3, positions.shape[1]))
    )
