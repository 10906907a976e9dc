"""Which Hugging Face tensor is which parameter: one table, read in both directions.

A Hugging Face linear weight is `[out, in]`, ours `[in, out]` with heads as axes of their own, and
layers of a kind share one stacked array. A `Slot` says where a tensor lives and how it is
transposed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from skinflow_jax.models.config import DveConfig, VlmConfig
from skinflow_jax.models.vision import block_place


@dataclass(frozen=True)
class Slot:
    """The home of one tensor.

    `path`: attribute names from the model to the parameter; `index`: place in its stack of
    layers, None if not stacked; `transpose`: a linear weight; `joins_heads`: its input is all axes
    but the last (attention's output projection), not the first alone.
    """

    path: tuple[str, ...]
    index: int | None = None
    transpose: bool = False
    joins_heads: bool = False

    def stored_axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes of a parameter of `shape` (of one layer) in the order in which they are stored.

        `parameter.transpose(axes)` has the stored tensor's elements in its row-major order.
        """
        inputs = self._input_axes(shape) if self.transpose else 0
        return (*range(inputs, len(shape)), *range(inputs))

    def tensor_shape(self, shape: tuple[int, ...], name: str, config: VlmConfig) -> tuple[int, ...]:
        """The Hugging Face shape of a parameter of `shape` (of one layer)."""
        if name == PATCH_EMBEDDING:
            v = config.vision
            frames = v.temporal_patch_size
            return (v.hidden_size, v.in_channels, frames, v.patch_size, v.patch_size)
        if self.transpose:
            inputs = math.prod(shape[: self._input_axes(shape)])
            return (math.prod(shape) // inputs, inputs)
        as_it_is = ("embed_tokens", "lm_head", "spectrum")
        return shape if any(part in name for part in as_it_is) else (math.prod(shape),)

    def _input_axes(self, shape: tuple[int, ...]) -> int:
        return len(shape) - 1 if self.joins_heads else 1


PATCH_EMBEDDING = "visual.patch_embed.proj.weight"

_DECODER_LAYER = {
    "input_layernorm.weight": ("attention_norm", "scale"),
    "post_attention_layernorm.weight": ("mlp_norm", "scale"),
    "self_attn.q_proj": ("q",),
    "self_attn.k_proj": ("k",),
    "self_attn.v_proj": ("v",),
    "mlp.gate_proj.weight": ("mlp", "gate", "kernel"),
    "mlp.up_proj.weight": ("mlp", "up", "kernel"),
    "mlp.down_proj.weight": ("mlp", "down", "kernel"),
    "self_attn.o_proj.weight": ("o", "kernel"),
}
_VISION_BLOCK = {
    "norm1.weight": ("attention_norm", "scale"),
    "norm2.weight": ("mlp_norm", "scale"),
    "attn.qkv": ("qkv",),
    "attn.proj": ("o",),
    "mlp.gate_proj": ("mlp", "gate"),
    "mlp.up_proj": ("mlp", "up"),
    "mlp.down_proj": ("mlp", "down"),
}
# Our own names, in files that carry their PyTorch module (`torch_dve`).
_DYNAMIC = {"spectrum": ("spectrum",), "reduce.weight": ("reduce", "kernel")}
_DYNAMIC |= {"bias": ("bias",), "norm.weight": ("norm", "scale")}
_MERGER = {
    "merger.ln_q.weight": ("merger", "norm", "scale"),
    "merger.mlp.0": ("merger", "wide"),
    "merger.mlp.2": ("merger", "out"),
}


def hf_slots(config: VlmConfig) -> dict[str, Slot]:
    """Every tensor by its name on the Hugging Face hub; those of dynamic maps are our own."""
    slots = {
        "model.embed_tokens.weight": Slot(("decoder", "embedding")),
        "model.norm.weight": Slot(("decoder", "norm", "scale")),
        PATCH_EMBEDDING: Slot(("vision", "patch_embedding", "kernel"), transpose=True),
    }
    if not config.text.tie_word_embeddings:
        slots["lm_head.weight"] = Slot(("decoder", "head"))
    for i in range(config.text.num_layers):
        slots |= dict(_layer(f"model.layers.{i}.", ("decoder", "layers"), i, _DECODER_LAYER))
    for i in range(config.vision.depth):
        stack, place = block_place(config.vision, i)
        table = _dynamic_block(config.vision.dve) if stack == "dynamic" else _VISION_BLOCK
        slots |= dict(_layer(f"visual.blocks.{i}.", ("vision", stack), place, table))
    return slots | dict(_layer("visual.", ("vision",), None, _MERGER))


def _dynamic_block(dve: DveConfig) -> dict[str, tuple[str, ...]]:
    table = dict(_VISION_BLOCK)
    for linear in dve.linears:
        name, home = f"mlp.{linear}_proj", table.pop(f"mlp.{linear}_proj")
        table |= {f"{name}.{tensor}": home + path for tensor, path in _DYNAMIC.items()}
        table |= {f"{name}.{gate}_gate": (*home, f"{gate}_gate") for gate in dve.gates}
    return table


def _layer(prefix, stack, index, table) -> Iterator[tuple[str, Slot]]:
    for name, path in table.items():
        if path[-1] in ("kernel", "bias", "scale", "spectrum"):
            yield prefix + name, _slot((*stack, *path), index)
        else:
            yield f"{prefix}{name}.weight", _slot((*stack, *path, "kernel"), index)
            yield f"{prefix}{name}.bias", _slot((*stack, *path, "bias"), index)


def _slot(path, index) -> Slot:
    return Slot(path, index, transpose=path[-1] == "kernel", joins_heads=path[-2] == "o")


_NESTED = (("model.language_model.", "model."), ("model.visual.", "visual."))


def canonical_name(name: str) -> str:
    """The hub's spelling of a tensor name; transformers 5 nests the halves one level deeper."""
    for new, old in _NESTED:
        if name.startswith(new):
            return old + name[len(new) :]
    return name


def nested_name(name: str) -> str:
    """The reverse, for models whose names transformers does not translate: those with DVE."""
    for new, old in _NESTED:
        if name.startswith(old):
            return new + name[len(old) :]
    return name
