"""The layers both halves of the model are made of. Parameters carry logical axis names."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from skinflow_jax.models.products import product, spread
from skinflow_jax.parallel import read_dtype


class RMSNorm(nnx.Module):
    """Root-mean-square norm over the last axis, computed in float32 (`Qwen2_5_VLRMSNorm`)."""

    def __init__(self, size: int, eps: float, *, float32: bool = False):
        self.scale = nnx.Param(jnp.ones(size), axes=(None,), float32=float32)
        self.eps = eps

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """x / rms(x) * scale, in the dtype that the scale is read in: that of `x`, or float32."""
        dtype = read_dtype(self.scale, x.dtype)
        x32 = x.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
        normed = (x32 * jax.lax.rsqrt(mean_square + self.eps)).astype(dtype)
        return normed * spread(self.scale[...], normed)


class Projection(nnx.Module):
    """A linear map from axes `inputs` to axes `outputs`, e.g. (D,) to (heads, head_dim).

    kernel: `[*inputs, *outputs]`; it contracts the last `len(inputs)` axes of its argument.
    With an adapter, `lora_a` `[*inputs, rank]` and `lora_b` `[rank, *outputs]` add their product
    times `lora_scale` to it. With `float32` it computes in float32 whatever its argument.
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        *,
        axes: tuple[str | None, ...],
        bias: bool,
        init_scale: float,
        float32: bool = False,
        rngs: nnx.Rngs,
    ):
        def parameter(value, axes):
            return nnx.Param(value, axes=axes, float32=float32)

        kernel = jax.random.normal(rngs.params(), inputs + outputs) * init_scale
        self.kernel = parameter(kernel, axes)
        self.bias = parameter(jnp.zeros(outputs), axes[len(inputs) :]) if bias else None
        self.contracted = len(inputs)
        self.lora_a, self.lora_b, self.lora_scale = nnx.data(None), nnx.data(None), None

    def add_adapter(self, rank: int, scale: float, *, rngs: nnx.Rngs) -> None:
        """Add a float32 adapter whose product is zero; on stacked layers one for each."""
        axes, shape = self.kernel.axes, self.kernel.shape
        layers = len(shape) - len(axes)
        split = layers + self.contracted
        inputs, outputs = shape[layers:split], shape[split:]
        noise = jax.random.normal(rngs.params(), (*shape[:split], rank))
        self.lora_a = nnx.Param(
            noise / math.sqrt(math.prod(inputs)), axes=(*axes[: self.contracted], None)
        )
        self.lora_b = nnx.Param(
            jnp.zeros((*shape[:layers], rank, *outputs)), axes=(None, *axes[self.contracted :])
        )
        self.lora_scale = scale

    def drop_adapter(self) -> None:
        """The map without its adapter."""
        self.lora_a = self.lora_b = self.lora_scale = None

    def whole_kernel(self) -> Float[Array, "..."]:
        """The kernel with the adapter folded in, in the kernel's dtype; stacked layers too."""
        kernel = self.kernel[...]
        if self.lora_a is None:
            return kernel
        layers = kernel.ndim - len(self.kernel.axes)
        lead, rank = kernel.shape[:layers], self.lora_a.shape[-1]
        inputs = math.prod(kernel.shape[layers : layers + self.contracted])
        a = self.lora_a[...].reshape(*lead, inputs, rank)
        b = self.lora_b[...].reshape(*lead, rank, -1)
        change = jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST) * self.lora_scale
        return (kernel.astype(jnp.float32) + change.reshape(kernel.shape)).astype(kernel.dtype)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """`[..., *inputs]` to `[..., *outputs]`, in the dtype that the kernel is read in."""
        x = x.astype(read_dtype(self.kernel, x.dtype))
        kernel = self.kernel[...]
        inputs, outputs = kernel.shape[: self.contracted], kernel.shape[self.contracted :]
        lead = x.shape[: x.ndim - self.contracted]
        # One plain 2-D product: the multi-axis form is slower on CPU and no faster elsewhere.
        x = x.reshape(*lead, math.prod(inputs))
        flat = product(x, kernel)
        if self.lora_a is not None:
            flat += self.adapter_product(x)
        y = flat.reshape(*lead, *outputs)
        return y if self.bias is None else y + spread(self.bias[...], y)

    def adapter_product(self, x: Float[Array, "*lead M"]) -> Float[Array, "*lead N"]:
        """What the adapter adds, all axes of input and of output in one; zeros without one."""
        if self.lora_a is None:
            return jnp.zeros((*x.shape[:-1], self.kernel.size // x.shape[-1]), x.dtype)
        return product(product(x, self.lora_a[...]), self.lora_b[...]) * self.lora_scale


class DecodeProjection:
    """Projections of one input as one small-batch product, the transposed kernel on the left.

    With few rows, as in decoding, XLA's CPU compiler copies the whole kernel if it is the right
    operand but reads it in place if it is the left; and a product takes little longer for half as
    many columns more. Together that is a tenth of a decoding step.

    Args:
      maps: the projections of the same input.
      outputs: the output shape of each, all of one rank.
      axis: the output axis along which they are concatenated; one that no mesh axis shards.
    """

    def __init__(
        self, maps: Sequence[Projection], outputs: Sequence[tuple[int, ...]], axis: int = 0
    ):
        self._maps, self._outputs, self._axis = maps, outputs, axis
        self._kernel = self._concatenated([_transposed_kernel(p) for p in maps])
        biases = [p.bias[...].reshape(-1) for p in maps if p.bias is not None]
        self._bias = self._concatenated(biases) if biases else None

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """`[..., *inputs]` to `[..., *concatenated outputs]`, in the dtype of `x`."""
        lead = x.shape[: x.ndim - self._maps[0].contracted]
        x = x.reshape(*lead, -1)
        kernel = self._kernel.astype(x.dtype)
        y = jax.lax.dot_general(kernel, x, (((kernel.ndim - 1,), (x.ndim - 1,)), ((), ())))
        # A barrier: XLA's CPU compiler would fuse the product with its consumers, which is slower.
        y = jax.lax.optimization_barrier(y)
        y = jnp.moveaxis(y, range(kernel.ndim - 1, y.ndim), range(len(lead)))
        if any(projection.lora_a is not None for projection in self._maps):
            y += self._concatenated([p.adapter_product(x) for p in self._maps], lead)
        return y if self._bias is None else y + self._bias.astype(x.dtype)

    def _concatenated(self, arrays, lead: tuple[int, ...] = ()):
        """`[*lead, N, ...]` of each map as `[*lead, *concatenated outputs, ...]`."""
        n = len(lead)
        parts = [
            a.reshape(*lead, *outputs, *a.shape[n + 1 :])
            for a, outputs in zip(arrays, self._outputs, strict=True)
        ]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=n + self._axis)


def _transposed_kernel(projection: Projection) -> Float[Array, "N M"]:
    kernel = projection.kernel[...]
    size = math.prod(kernel.shape[: projection.contracted])
    # Barriers: XLA's CPU compiler would fuse slice, transpose and concatenation into a slow loop.
    kernel = jax.lax.optimization_barrier(kernel).reshape(size, -1)
    return jax.lax.optimization_barrier(kernel.T)


class SwiGLU(nnx.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, size: int, hidden: int, *, bias: bool, init_scale: float, rngs: nnx.Rngs):
        def expansion():
            return Projection(
                (size,),
                (hidden,),
                axes=("embed", "mlp"),
                bias=bias,
                init_scale=init_scale,
                rngs=rngs,
            )

        self.gate, self.up = expansion(), expansion()
        self.down = Projection(
            (hidden,), (size,), axes=("mlp", "embed"), bias=bias, init_scale=init_scale, rngs=rngs
        )

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """One feed-forward pass."""
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


def parameter_count(module) -> int:
    """Number of elements in all arrays of a module, abstract ones too."""
    return sum(leaf.size for leaf in jax.tree.leaves(module))


def stack_layers(make_layer, count: int, rngs: nnx.Rngs):
    """`count` layers as one module whose arrays have a leading layer axis."""
    keys = jax.random.split(rngs.params(), count)
    return jax.vmap(lambda key: make_layer(nnx.Rngs(params=key)))(keys)


def layer(stack, index):
    """Layer `index` (or a slice of layers) of a stack."""
    return jax.tree.map(lambda array: array[index], stack)
