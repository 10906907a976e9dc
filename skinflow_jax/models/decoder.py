"""The language model: stacked layers, one block for prefill, completion and cached decoding.

Activations are `[P, G, L, D]`: P prompts, G rows of a group (1 for the prompt itself), L tokens.
Keys and values are `[P, K, G, M, h]`, those of a shared prefix `[P, K, N, h]`.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from skinflow_jax.models.attention import ATTENTION_OUTPUT, KeyValue, attend
from skinflow_jax.models.config import TextConfig
from skinflow_jax.models.layers import (
    DecodeProjection,
    Projection,
    RMSNorm,
    SwiGLU,
    layer,
    stack_layers,
)
from skinflow_jax.models.prefix import Prefix
from skinflow_jax.models.products import embedded, logits_of
from skinflow_jax.models.rope import rotate, text_rotation
from skinflow_jax.parallel import constrain


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Visible:
    """Rotary positions and attention masks of one call, the same in every layer."""

    rotation: Float[Array, "2 P 1 #G 1 L half_head"]
    own_mask: Bool[Array, "..."]
    prefix_mask: Bool[Array, "P N"] | None = None


class DecoderLayer(nnx.Module):
    """Pre-norm attention and SwiGLU, each added to the residual stream."""

    def __init__(self, config: TextConfig, init_scale: float, *, rngs: nnx.Rngs):
        size, head = config.hidden_size, config.head_dim
        kv, per_kv = config.num_kv_heads, config.queries_per_kv

        def project(heads, axes):
            return Projection(
                (size,),
                (*heads, head),
                axes=("embed", *axes, None),
                bias=True,
                init_scale=init_scale,
                rngs=rngs,
            )

        self.attention_norm = RMSNorm(size, config.norm_eps)
        self.q = project((kv, per_kv), ("heads", None))
        self.k = project((kv,), ("heads",))
        self.v = project((kv,), ("heads",))
        self.o = Projection(
            (kv, per_kv, head),
            (size,),
            axes=("heads", None, None, "embed"),
            bias=False,
            init_scale=init_scale,
            rngs=rngs,
        )
        self.mlp_norm = RMSNorm(size, config.norm_eps)
        self.mlp = SwiGLU(
            size, config.intermediate_size, bias=False, init_scale=init_scale, rngs=rngs
        )

    def __call__(
        self,
        x: Float[Array, "P G L D"],
        visible: Visible,
        prefix: KeyValue | None = None,
        cache: tuple[jax.Array, jax.Array, jax.Array] | None = None,
    ) -> tuple[Float[Array, "P G L D"], KeyValue]:
        """One layer.

        `cache` = (keys, values, t) writes the call's keys and values at own position t of a cache
        and attends to the whole cache; its keys and those of `prefix` are stored transposed.
        Returns the new state and the own keys and values, or the updated cache.
        """
        q, k, v = self.queries_keys_values(x, visible.rotation)
        own = key_values = (k, v)
        if cache is not None:
            key_values = _updated_cache(*cache, own)
            own, prefix = transpose_keys(*key_values), transpose_keys(*prefix)
        attended = attend(q, own, visible.own_mask, prefix, visible.prefix_mask)
        x = x + self.o(jnp.transpose(attended, (0, 2, 4, 1, 3, 5)))
        x = constrain(x + self.mlp(self.mlp_norm(x)), "batch", None, None, None)
        return x, key_values

    def queries_keys_values(
        self, x: Float[Array, "P G L D"], rotation: Float[Array, "2 P 1 #G 1 L half_head"]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """What attention is computed of: queries `[P, K, G, R, L, h]` and keys, rotated, values."""
        q, k, v = self.project(self.attention_norm(x))
        q = rotate(jnp.transpose(q, (0, 3, 1, 4, 2, 5)), rotation)
        k = rotate(jnp.transpose(k, (0, 3, 1, 2, 4)), rotation[:, :, :, :, 0])
        return q, k, jnp.transpose(v, (0, 3, 1, 2, 4))

    def project(self, x: Float[Array, "P G L D"]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries `[P, G, L, K, R, h]`, keys and values `[P, G, L, K, h]`."""
        return self.q(x), self.k(x), self.v(x)


def transpose_keys(keys, values) -> KeyValue:
    """Keys `[..., M, h]` as `[..., h, M]`, or back, and the values as they are.

    The products of a decoding step read transposed keys without a copy.
    """
    return keys.swapaxes(-1, -2), values


def _updated_cache(keys, values, t, new: KeyValue) -> KeyValue:
    """The cache with `new` written at own position t."""
    k, v = transpose_keys(*(x.astype(keys.dtype) for x in new))
    write = jax.lax.dynamic_update_slice_in_dim
    return write(keys, k, t, axis=-1), write(values, v, t, axis=-2)


class DecodingLayer:
    """A layer as a decoding loop calls it: the same function, by `DecodeProjection`s."""

    def __init__(self, block: DecoderLayer):
        mlp = block.mlp
        kv, per_kv, head = block.q.kernel.shape[1:]
        hidden, size = mlp.down.kernel.shape
        self.attention_norm, self.mlp_norm = block.attention_norm, block.mlp_norm
        self._qkv = DecodeProjection(
            (block.q, block.k, block.v), ((kv, per_kv, head), (kv, 1, head), (kv, 1, head)), axis=1
        )
        self.o = DecodeProjection([block.o], [(size,)])
        self._gate_up = DecodeProjection([mlp.gate, mlp.up], [(1, hidden)] * 2)
        self._down = DecodeProjection([mlp.down], [(size,)])

    __call__ = DecoderLayer.__call__
    queries_keys_values = DecoderLayer.queries_keys_values

    def project(self, x: Float[Array, "P G 1 D"]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """As `DecoderLayer.project`."""
        y = self._qkv(x)
        return y[..., :-2, :], y[..., -2, :], y[..., -1, :]

    def mlp(self, x: Float[Array, "P G 1 D"]) -> Float[Array, "P G 1 D"]:
        """As `SwiGLU`."""
        y = self._gate_up(x)
        return self._down(jax.nn.silu(y[..., 0, :]) * y[..., 1, :])


class Decoder(nnx.Module):
    """Embedding, stacked layers, final norm and output head."""

    def __init__(self, config: TextConfig, init_scale: float, *, rngs: nnx.Rngs):
        def table():
            values = jax.random.normal(rngs.params(), (config.vocab_size, config.hidden_size))
            return nnx.Param(values * init_scale, axes=("vocab", "embed"))

        self.embedding = table()
        self.layers = stack_layers(
            lambda r: DecoderLayer(config, init_scale, rngs=r), config.num_layers, rngs
        )
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.head = None if config.tie_word_embeddings else table()
        self.config = config

    def embed(self, ids: Int[Array, "..."], dtype) -> Float[Array, "... D"]:
        """Token embeddings."""
        return embedded(self.embedding[...], ids, dtype)

    def logits(self, hidden: Float[Array, "... D"]) -> Float[Array, "... V"]:
        """float32 logits of normed states."""
        head = self.embedding if self.head is None else self.head
        return logits_of(hidden, head[...])

    def rotation(self, positions: Int[Array, "P G 3 L"]) -> Float[Array, "2 P 1 G 1 L half_head"]:
        """The rotary positions in the layout of queries."""
        return text_rotation(positions, self.config)[:, :, None, :, None]

    def __call__(
        self,
        x: Float[Array, "P G L D"],
        visible: Visible,
        prefix: Prefix | None = None,
        *,
        remat: str = "none",
    ) -> tuple[Float[Array, "P G L D"], KeyValue]:
        """All layers by a scan: normed states and own keys and values `[layers, P, K, G, L, h]`."""

        def step(state, scanned):
            block, shared = scanned
            return block(state, visible, shared)

        shared = None if prefix is None else (prefix.keys, prefix.values)
        x, key_values = jax.lax.scan(rematerialised(step, remat), x, (self.layers, shared))
        return self.norm(x), key_values

    def unstacked(self) -> list[DecodingLayer]:
        """The layers one by one, for a decoding loop (a scan inside it costs 50 % on CPU)."""
        return [DecodingLayer(layer(self.layers, i)) for i in range(self.config.num_layers)]

    def empty_cache(self, rows: tuple[int, int], length: int, dtype) -> list[KeyValue]:
        """Per layer zeros: transposed keys `[P, K, G, h, length]`, values `[P, K, G, length, h]`.

        `rows` = (P, G).
        """
        prompts, group = rows
        shape = (prompts, self.config.num_kv_heads, group, length, self.config.head_dim)
        zeros = constrain(jnp.zeros(shape, dtype), "batch", "heads", None, None, None)
        return [transpose_keys(zeros, zeros) for _ in range(self.config.num_layers)]

    def decode(
        self,
        layers: list[DecodingLayer],
        x: Float[Array, "P G 1 D"],
        visible: Visible,
        prefix: list[KeyValue],
        cache: list[KeyValue],
        t: Int[Array, ""],
    ) -> tuple[Float[Array, "P G 1 D"], list[KeyValue]]:
        """One token per row, written at own position `t` of the cache; its first t + 1 are visible.

        Keys of `prefix` and `cache` are transposed, `[..., h, M]`.
        """
        updated = []
        for block, shared, (keys, values) in zip(layers, prefix, cache, strict=True):
            x, key_value = block(x, visible, shared, (keys, values, t))
            updated.append(key_value)
        return self.norm(x), updated


REMAT_POLICIES = {
    "none": None,
    "dots": jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        jax.checkpoint_policies.save_only_these_names(ATTENTION_OUTPUT),
    ),
    "full": jax.checkpoint_policies.nothing_saveable,
}


def rematerialised(step, policy: str):
    """`step` whose backward pass recomputes what the named policy does not save."""
    if policy == "none":
        return step
    return jax.checkpoint(step, policy=REMAT_POLICIES[policy], prevent_cse=False)
