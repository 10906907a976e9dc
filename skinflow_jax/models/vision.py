"""The vision tower: N images as rows of S patch slots, windows as a batch of 64-patch groups.

See `inputs.py` for the slot layout. Empty slots are masked as keys, so no real patch attends to
them; their outputs are finite and unused.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from skinflow_jax.models.attention import attend
from skinflow_jax.models.config import DveConfig, VisionConfig
from skinflow_jax.models.decoder import rematerialised
from skinflow_jax.models.dve import DynamicSwiGLU
from skinflow_jax.models.layers import Projection, RMSNorm, SwiGLU, layer, stack_layers
from skinflow_jax.models.pixels import Patches, patch_values
from skinflow_jax.models.rope import rotate, vision_rotation
from skinflow_jax.parallel import constrain


class VisionBlock(nnx.Module):
    """Pre-norm attention within groups of patches, then SwiGLU, static or dynamic."""

    def __init__(self, config: VisionConfig, init_scale: float, *, rngs: nnx.Rngs):
        size, heads, head = config.hidden_size, config.num_heads, config.head_dim
        self.attention_norm = RMSNorm(size, config.norm_eps)
        self.qkv = Projection(
            (size,),
            (3, heads, head),
            axes=("embed", None, "heads", None),
            bias=True,
            init_scale=init_scale,
            rngs=rngs,
        )
        self.o = Projection(
            (heads, head),
            (size,),
            axes=("heads", None, "embed"),
            bias=True,
            init_scale=init_scale,
            rngs=rngs,
        )
        self.mlp_norm = RMSNorm(size, config.norm_eps)
        self.mlp = SwiGLU(
            size, config.intermediate_size, bias=True, init_scale=init_scale, rngs=rngs
        )

    def __call__(
        self,
        x: Float[Array, "N S D"],
        rotation: Float[Array, "2 N S half_head"],
        mask: Bool[Array, "N S"],
        group: int,
    ) -> tuple[Float[Array, "N S D"], dict[str, Any]]:
        """Attention within consecutive groups of `group` slots (64 for windows, S for all).

        Returns the new state and the gates of the dynamic maps, if there are any.
        """
        images, slots, _ = x.shape
        groups = slots // group
        qkv = self.qkv(self.attention_norm(x))
        # [N, S, 3, heads, h] -> [3, N, heads, groups, 1, group, h], the layout of `attend`.
        qkv = jnp.transpose(qkv.reshape(images, groups, group, *qkv.shape[2:]), (3, 0, 4, 1, 2, 5))
        rotation = rotation.reshape(2, images, 1, groups, group, -1)
        q, k = rotate(qkv[:2], rotation)
        key_mask = mask.reshape(images, 1, groups, 1, 1, group)
        attended = attend(q[:, :, :, None], (k, qkv[2]), key_mask)[:, :, :, 0]
        attended = jnp.transpose(attended, (0, 2, 3, 1, 4))
        x = x + self.o(attended.reshape(images, slots, *attended.shape[3:]))
        normed, gates = self.mlp_norm(x), {}
        if isinstance(self.mlp, DynamicSwiGLU):
            y, gates = self.mlp(normed, mask)
        else:
            y = self.mlp(normed)
        return constrain(x + y, "batch", None, None), gates

    def made_dynamic(self, dve: DveConfig, *, rngs: nnx.Rngs) -> "VisionBlock":
        """This block with dynamic maps that still equal the static ones."""
        self.mlp = DynamicSwiGLU(self.mlp, dve, rngs=rngs)
        return self


class PatchMerger(nnx.Module):
    """Four neighbouring patches become one image token of the language model's width."""

    def __init__(self, config: VisionConfig, init_scale: float, *, rngs: nnx.Rngs):
        merged = config.hidden_size * config.merge_unit
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.wide = Projection(
            (merged,), (merged,), axes=("embed", "mlp"), bias=True, init_scale=init_scale, rngs=rngs
        )
        self.out = Projection(
            (merged,),
            (config.out_hidden_size,),
            axes=("mlp", "embed"),
            bias=True,
            init_scale=init_scale,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "N S D"]) -> Float[Array, "N units out"]:
        """Norm, join the patches of each unit, two layers with an exact GELU between."""
        merged = self.norm(x).reshape(x.shape[0], -1, self.wide.kernel.shape[0])
        return self.out(jax.nn.gelu(self.wide(merged), approximate=False))


class VisionTower(nnx.Module):
    """Patch embedding, blocks, merger.

    Blocks of a kind are stacked: those with windowed and with full attention, and the dynamic
    ones, whatever their attention; `runs` walks through the stacks in the order of depth.
    """

    def __init__(self, config: VisionConfig, init_scale: float, *, rngs: nnx.Rngs):
        def make(stack, rngs):
            block = VisionBlock(config, init_scale, rngs=rngs)
            return block.made_dynamic(config.dve, rngs=rngs) if stack == "dynamic" else block

        self.patch_embedding = Projection(
            (config.patch_dim,),
            (config.hidden_size,),
            axes=(None, "embed"),
            bias=False,
            init_scale=init_scale,
            rngs=rngs,
        )
        for stack in STACKS:
            count = len(stack_blocks(config, stack))
            blocks = stack_layers(functools.partial(make, stack), count, rngs) if count else None
            setattr(self, stack, blocks)
        self.merger = PatchMerger(config, init_scale, rngs=rngs)
        self.config = config

    def __call__(
        self,
        patches: Patches,
        mask: Bool[Array, "N S"],
        positions: Int[Array, "N S 2"],
        *,
        dtype=jnp.float32,
        remat: str = "none",
    ) -> Float[Array, "N units out"]:
        """Image features in slot order, one per merged unit (S/4)."""
        return self.merger(self._blocks(patches, mask, positions, dtype, remat)[0])

    def gates(
        self,
        patches: Patches,
        mask: Bool[Array, "N S"],
        positions: Int[Array, "N S 2"],
        *,
        dtype=jnp.float32,
    ) -> dict[int, dict[str, dict[str, jax.Array]]]:
        """Gates `[N, width]` by dynamic block, linear map and kind of gate."""
        found = {}
        for run, gates in self._blocks(patches, mask, positions, dtype, "none")[1]:
            if run.stack == "dynamic":
                found |= {run.block + i: layer(gates, i) for i in range(run.stop - run.start)}
        return found

    def _blocks(self, patches, mask, positions, dtype, remat):
        """(states, gates of each run). A scan over periods, so that one is compiled for all."""
        patches = jnp.where(mask[..., None], patch_values(patches, self.config), 0).astype(dtype)
        x = constrain(self.patch_embedding(patches), "batch", None, None)
        rotation = vision_rotation(positions, self.config)
        everything = runs(self.config)
        periods = period_count(everything)
        period = everything[: len(everything) // periods]

        def run_blocks(run, x, blocks):
            group = x.shape[1] if run.full_attention else self.config.window_patches

            def step(state, block):
                return block(state, rotation, mask, group)

            blocks = layer(blocks, slice(run.start, run.stop))
            return jax.lax.scan(rematerialised(step, remat), x, blocks)

        def run_period(x, stacks):
            gates = []
            for run in period:
                x, found = run_blocks(run, x, stacks[run.stack])
                gates.append(found)
            return x, gates

        stacks = {name: getattr(self, name) for name in STACKS if getattr(self, name) is not None}
        stacks = jax.tree.map(lambda a: a.reshape(periods, -1, *a.shape[1:]), stacks)
        x, gates = jax.lax.scan(run_period, x, stacks)
        found = [layer(gates[i % len(period)], i // len(period)) for i in range(len(everything))]
        return x, list(zip(everything, found, strict=True))


def abstract_tower(config: VisionConfig) -> VisionTower:
    """The tower's shapes without memory."""
    return jax.eval_shape(lambda: VisionTower(config, 0.0, rngs=nnx.Rngs(params=0)))


STACKS = ("windowed", "full", "dynamic")


@dataclass(frozen=True)
class Run:
    """Consecutive blocks of a kind: `start` to `stop` of a stack, from `block` of the tower on."""

    stack: str
    full_attention: bool
    start: int
    stop: int
    block: int


def runs(config: VisionConfig) -> list[Run]:
    """The tower's blocks in the order of depth, as the fewest possible runs."""
    found: list[Run] = []
    for index in range(config.depth):
        stack, place = block_place(config, index)
        full = index in config.full_attention_blocks
        last = found[-1] if found else None
        if last and (last.stack, last.full_attention) == (stack, full):
            found[-1] = dataclasses.replace(last, stop=place + 1)
        else:
            found.append(Run(stack, full, place, place + 1, index))
    return found


def period_count(everything: list[Run]) -> int:
    """The largest number of equal parts that a tower's runs divide into (published: 4)."""
    kinds = [(run.stack, run.full_attention, run.stop - run.start) for run in everything]
    counts = (len(kinds) // length for length in range(1, len(kinds) + 1))
    return next(n for n in counts if kinds == kinds[: len(kinds) // n] * n)


def stack_of(config: VisionConfig, index: int) -> str:
    """The stack that holds block `index` of the tower."""
    if index in config.dynamic_blocks:
        return "dynamic"
    return "full" if index in config.full_attention_blocks else "windowed"


def stack_blocks(config: VisionConfig, stack: str) -> list[int]:
    """The tower's blocks that `stack` holds, in their order there."""
    return [i for i in range(config.depth) if stack_of(config, i) == stack]


def block_place(config: VisionConfig, index: int) -> tuple[str, int]:
    """The stack that holds block `index` of the tower and its index there."""
    stack = stack_of(config, index)
    return stack, stack_blocks(config, stack).index(index)
