"""Where LoRA adapters sit in a model."""

from collections.abc import Iterator

from flax import nnx

from skinflow_jax.models.config import LoraConfig
from skinflow_jax.models.layers import Projection
from skinflow_jax.parallel import place_module

_VISION_STACKS = ("windowed", "full", "dynamic")


def add_adapters(model, lora: LoraConfig, *, rngs: nnx.Rngs, mesh=None) -> None:
    """Give every projection that `lora` targets in a Vlm an adapter whose product is zero.

    On `mesh` they are sharded by the training rules, each before the next is made.
    """
    for projection in _targeted(model, lora):
        projection.add_adapter(lora.rank, lora.alpha / lora.rank, rngs=rngs)
        factors = projection.lora_a, projection.lora_b
        projection.lora_a, projection.lora_b = place_module(factors, mesh)


def drop_adapters(model, lora: LoraConfig) -> None:
    """Remove them."""
    for projection in _targeted(model, lora):
        projection.drop_adapter()


def fold_adapters(model, lora: LoraConfig) -> None:
    """Remove them, their product added to the kernels."""
    for projection in _targeted(model, lora):
        projection.kernel.set_value(projection.whole_kernel())
        projection.drop_adapter()


def _targeted(model, lora: LoraConfig) -> Iterator[Projection]:
    """The targeted projections, stacked by layer, in a fixed order; dynamic ones have none."""
    blocks = [model.decoder.layers] if lora.language else []
    if lora.vision:
        stacks = (getattr(model.vision, name) for name in _VISION_STACKS)
        blocks += [stack for stack in stacks if stack is not None]
    for block in blocks:
        if hasattr(block, "qkv"):
            attention = ["qkv"] if set(lora.targets) & set("qkv") else []
        else:
            attention = [name for name in "qkv" if name in lora.targets]
        yield from (getattr(block, name) for name in attention)
        if "o" in lora.targets:
            yield block.o
        for name in ("gate", "up", "down"):
            linear = getattr(block.mlp, name)
            if name in lora.targets and isinstance(linear, Projection):
                yield linear
