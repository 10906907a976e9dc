"""The vision tower: N images as rows of S patch slots, windows as a batch of 64-patch groups.

See `inputs.py` for the slot layout. Empty slots are masked as keys, so they never reach a real
patch; what is computed at them is finite and unread.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from skinflow_jax.models.attention import attend
from skinflow_jax.models.config import VisionConfig
from skinflow_jax.models.decoder import rematerialised
from skinflow_jax.models.layers import Projection, RMSNorm, SwiGLU, layer, stack_layers
from skinflow_jax.models.rope import rotate, vision_angles
from skinflow_jax.parallel import constrain


class VisionBlock(nnx.Module):
    """Pre-norm attention within groups of patches, then SwiGLU."""

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
        angles: Float[Array, "N S half_head"],
        mask: Bool[Array, "N S"],
        group: int,
    ) -> Float[Array, "N S D"]:
        """Attention within consecutive groups of `group` slots (64 for windows, S for all)."""
        images, slots, _ = x.shape
        groups = slots // group
        qkv = self.qkv(self.attention_norm(x))
        # [N, S, 3, heads, h] -> [3, N, heads, groups, 1, group, h], the layout of `attend`.
        qkv = jnp.transpose(qkv.reshape(images, groups, group, *qkv.shape[2:]), (3, 0, 4, 1, 2, 5))
        angles = angles.reshape(images, 1, groups, group, -1)
        q, k = rotate(qkv[:2], angles)
        key_mask = mask.reshape(images, 1, groups, 1, 1, group)
        mixed = attend(q[:, :, :, None], (k, qkv[2]), key_mask)[:, :, :, 0]
        mixed = jnp.transpose(mixed, (0, 2, 3, 1, 4))
        x = x + self.o(mixed.reshape(images, slots, *mixed.shape[3:]))
        return constrain(x + self.mlp(self.mlp_norm(x)), "batch", None, None)


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
    """Patch embedding, windowed and full-attention blocks, merger.

    Blocks of a kind are stacked; `runs` walks through both stacks in the order of depth.
    """

    def __init__(self, config: VisionConfig, init_scale: float, *, rngs: nnx.Rngs):
        def blocks(count):
            return stack_layers(lambda r: VisionBlock(config, init_scale, rngs=r), count, rngs)

        full = len(config.full_attention_blocks)
        self.patch_embedding = Projection(
            (config.patch_dim,),
            (config.hidden_size,),
            axes=(None, "embed"),
            bias=False,
            init_scale=init_scale,
            rngs=rngs,
        )
        self.windowed = blocks(config.depth - full) if full < config.depth else None
        self.full = blocks(full) if full else None
        self.merger = PatchMerger(config, init_scale, rngs=rngs)
        self.config = config

    def __call__(
        self,
        patches: Float[Array, "N S patch_dim"],
        mask: Bool[Array, "N S"],
        positions: Int[Array, "N S 2"],
        *,
        dtype=jnp.float32,
        remat: str = "none",
    ) -> Float[Array, "N units out"]:
        """Image features in slot order, one per merged unit (S/4)."""
        patches = jnp.where(mask[..., None], patches, 0).astype(dtype)
        x = constrain(self.patch_embedding(patches), "batch", None, None)
        angles = vision_angles(positions, self.config)

        for kind, start, stop in runs(self.config):
            group = self.config.window_patches if kind == "windowed" else x.shape[1]

            def step(state, block, group=group):
                return block(state, angles, mask, group), None

            stack = layer(getattr(self, kind), slice(start, stop))
            x, _ = jax.lax.scan(rematerialised(step, remat), x, stack)
        return self.merger(x)


def runs(config: VisionConfig) -> list[tuple[str, int, int]]:
    """Consecutive blocks of a kind: (kind, start, stop), indices into that kind's own stack."""
    found, used = [], {"windowed": 0, "full": 0}
    for index in range(config.depth):
        kind = "full" if index in config.full_attention_blocks else "windowed"
        if found and found[-1][0] == kind:
            found[-1][2] += 1
        else:
            found.append([kind, used[kind], used[kind] + 1])
        used[kind] += 1
    return [tuple(run) for run in found]


def block_place(config: VisionConfig, index: int) -> tuple[str, int]:
    """The stack that holds block `index` of the tower and its place there."""
    full = sorted(config.full_attention_blocks)
    if index in full:
        return "full", full.index(index)
    return "windowed", index - sum(i < index for i in full)
