"""The dynamic vision encoder: linear maps whose weight is computed per image.

FDLinear scales its input channels, its output channels and groups of frequencies of its weight by
gates that a small network computes from the mean of the layer's own input. Source: `FDLinear.py` of
the paper's co-author (Linwei-Chen/FDConv); that it is SkinFlow's operator, and that gate, up and
down maps are alike, are inferences. A map just converted equals the static one it came from.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from skinflow_jax.models import dft
from skinflow_jax.models.config import GATES, LINEARS, DveConfig
from skinflow_jax.models.frequency_groups import frequency_groups, group_members
from skinflow_jax.models.layers import Projection, RMSNorm, SwiGLU
from skinflow_jax.models.products import product, spread
from skinflow_jax.parallel import batch_shards, constrain

NORM_EPS = 1e-6
SMALLEST_HIDDEN = 16


class FDLinear(nnx.Module):
    """y = output_gate * (V (input_gate * x)) + bias with V = irfft2(group_gate * spectrum * m).

    `spectrum` `[out, in // 2 + 1, 2]` is rfft2 of the weight over m = min(out, in) // 2, which
    keeps it on the weight's own scale, so that one learning rate suits both. It and all that makes
    the gates are read in float32; the bias is added to activations.
    """

    def __init__(
        self,
        kernel: Float[Array, "in out"],
        bias: Float[Array, " out"] | None,
        dve: DveConfig,
        *,
        axes: tuple[str | None, str | None] = (None, None),
        rngs: nnx.Rngs,
    ):
        inputs, outputs = kernel.shape
        frequency_groups(outputs, inputs, dve.groups)  # raises if there are too many
        hidden = max(inputs // dve.reduction, SMALLEST_HIDDEN)
        coefficients = jnp.fft.rfft2(kernel.T.astype(jnp.float32)) / _scale(kernel.shape)
        pairs = jnp.stack([coefficients.real, coefficients.imag], axis=-1)
        # Sharded where stored, never along frequencies; all-gathered where used.
        self.spectrum = nnx.Param(pairs, axes=("embed", None, None), float32=True)
        self.bias = None if bias is None else nnx.Param(bias, axes=axes[1:])

        def dense(size, width, scale, bias=True):
            return Projection(
                (size,),
                (width,),
                axes=(None, None),
                bias=bias,
                init_scale=scale,
                float32=True,
                rngs=rngs,
            )

        def gate(name, width):
            return dense(hidden, width, 0.0) if name in dve.gates else None

        self.reduce = dense(inputs, hidden, math.sqrt(2 / inputs), bias=False)
        self.norm = RMSNorm(hidden, NORM_EPS, float32=True)
        self.input_gate = gate("input", inputs)
        self.output_gate = gate("output", outputs)
        self.group_gate = gate("group", dve.groups)
        self.shape = (inputs, outputs)
        self.axes = axes
        self.groups, self.temperature = dve.groups, dve.temperature

    def gates(self, x: Float[Array, "N L in"], mask: Bool[Array, "N L"]) -> dict[str, jax.Array]:
        """Each image's gates by name, float32 `[N, width]` in (0, 2), from its unmasked tokens."""
        x = jnp.where(mask[..., None], x, 0).astype(jnp.float32)
        count = jnp.maximum(jnp.sum(mask, axis=1, dtype=jnp.float32), 1)
        hidden = jax.nn.relu(self.norm(self.reduce(jnp.sum(x, axis=1) / count[:, None])))
        heads = {name: getattr(self, f"{name}_gate") for name in GATES}
        return {
            name: 2 * jax.nn.sigmoid(head(hidden) / self.temperature)
            for name, head in heads.items()
            if head is not None
        }

    def apply(
        self, x: Float[Array, "N L in"], gates: dict[str, jax.Array]
    ) -> Float[Array, "N L out"]:
        """The map under given gates, in the dtype of `x`; the weight is computed in float32."""
        if "input" in gates:
            x = x * gates["input"][:, None].astype(x.dtype)
        apply = functools.partial(_apply, shape=self.shape, groups=self.groups, axes=self.axes)
        # Rematerialised in the backward pass: one dense weight per image is too much to save.
        y = jax.checkpoint(apply, prevent_cse=False)(x, self.spectrum[...], gates.get("group"))
        if "output" in gates:
            y = y * gates["output"][:, None].astype(x.dtype)
        return y if self.bias is None else y + spread(self.bias[...], y)

    def __call__(
        self, x: Float[Array, "N L in"], mask: Bool[Array, "N L"]
    ) -> Float[Array, "N L out"]:
        """One row per image; masked tokens do not affect the gates; their outputs are unused."""
        return self.apply(x, self.gates(x, mask))


def fdlinear_from_linear(
    kernel: Float[Array, "in out"],
    bias: Float[Array, " out"] | None,
    *,
    groups: int,
    reduction: int = 16,
    rngs: nnx.Rngs,
) -> FDLinear:
    """A dynamic map with all gates that equals `x @ kernel + bias` until it is trained.

    Raises ConfigError when there are more groups than frequency coefficients.
    """
    return FDLinear(kernel, bias, DveConfig(groups=groups, reduction=reduction), rngs=rngs)


def _scale(shape: tuple[int, int]) -> int:
    return max(min(shape) // 2, 1)


def _apply(x, spectrum, group_gate, *, shape, groups, axes):
    kernels = synthesise(spectrum, group_gate, shape=shape, groups=groups)
    if group_gate is None:
        return product(x, kernels[0])
    kernels = constrain(kernels.astype(x.dtype), "batch", *_without_embed(axes))
    return jnp.einsum("nli,nio->nlo", x, kernels)


def _without_embed(axes):
    # The batch is sharded over the mesh axis that shards embeddings.
    return tuple(None if axis == "embed" else axis for axis in axes)


def synthesise(
    spectrum: Float[Array, "out h 2"],
    group_gate: Float[Array, "N groups"] | None,
    *,
    shape: tuple[int, int],
    groups: int,
    route: str | None = None,
) -> Float[Array, "N inputs out"]:
    """Each image's weight, float32; one for all where there is no group gate.

    Two equal algorithms: an inverse transform of each image's gated spectrum ("fourier"), or one
    of each group's share and their mixture by the gates ("bases"). None takes the cheaper.
    """
    inputs, outputs = shape
    spectrum = constrain(spectrum.astype(jnp.float32), None, None, None)
    pairs = jnp.moveaxis(spectrum * _scale(shape), -1, 0)[:, None]
    if group_gate is None:
        return _irfft2(pairs, inputs)
    ids = frequency_groups(outputs, inputs, groups)
    if route is None:
        images = group_gate.shape[0] // batch_shards(group_gate.shape[0])
        route = "bases" if bases_are_cheaper(images, groups, shape) else "fourier"
    if route == "fourier":
        gates = constrain(_gate_per_coefficient(group_gate, shape, groups), "batch", None, None)
        return _irfft2(pairs * gates, inputs)
    bases = _irfft2(pairs * (ids == jnp.arange(groups)[:, None, None]), inputs)
    return jnp.einsum("nk,kio->nio", group_gate, bases, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gate_per_coefficient(
    group_gate: Float[Array, "N groups"], shape: tuple[int, int], groups: int
) -> Float[Array, "N out h"]:
    """Each coefficient's gate.

    Its gradient is a sum over each group. The one that JAX derives adds up millions of numbers one
    by one: a loss of digits, and on a TPU a sort that took 18 s to compile.
    """
    inputs, outputs = shape
    return group_gate[:, frequency_groups(outputs, inputs, groups)]


def _gate_forward(group_gate, shape, groups):
    return _gate_per_coefficient(group_gate, shape, groups), None


def _gate_backward(shape, groups, _, gradient):
    inputs, outputs = shape
    flat = jnp.pad(gradient.reshape(gradient.shape[0], -1), ((0, 0), (0, 1)))
    return (jnp.sum(flat[:, group_members(outputs, inputs, groups)], axis=-1),)


_gate_per_coefficient.defvjp(_gate_forward, _gate_backward)


def bases_are_cheaper(images: int, groups: int, shape: tuple[int, int]) -> bool:
    """Whether mixing bases takes fewer operations than a transform for every image.

    Counts a fast transform (2.5 n log2 n). By matrix products it costs more and bases would win
    sooner, but K of them take the memory of K images' weights.
    """
    size = math.prod(shape)
    transform = 2.5 * size * math.log2(size)
    return groups * (transform + 2 * images * size) < images * transform


def _irfft2(pairs: Float[Array, "2 N out h"], inputs: int) -> Float[Array, "N inputs out"]:
    """The inverse transform by the library, or by matrix products where that is better."""

    def library(pairs):
        spectrum = jax.lax.complex(pairs[0], pairs[1])
        return jnp.swapaxes(jnp.fft.irfft2(spectrum, s=(pairs.shape[2], inputs)), 1, 2)

    products = functools.partial(dft.irfft2, inputs=inputs)
    if jax.sharding.get_abstract_mesh().size > 1:
        return products(pairs)  # the partitioner would gather all images' spectra for an FFT
    return jax.lax.platform_dependent(pairs, default=library, tpu=products)


class DynamicSwiGLU(nnx.Module):
    """SwiGLU whose chosen maps are dynamic."""

    def __init__(self, static: SwiGLU, dve: DveConfig, *, rngs: nnx.Rngs):
        for name in LINEARS:
            linear = getattr(static, name)
            if name in dve.linears:
                axes = linear.kernel.axes[-2:]
                linear = FDLinear(linear.kernel[...], linear.bias[...], dve, axes=axes, rngs=rngs)
            setattr(self, name, linear)

    def __call__(
        self, x: Float[Array, "N L D"], mask: Bool[Array, "N L"]
    ) -> tuple[Float[Array, "N L D"], dict[str, dict[str, jax.Array]]]:
        """The feed-forward pass, and every dynamic map's gates."""
        gates = {}

        def apply(name, x):
            linear = getattr(self, name)
            if not isinstance(linear, FDLinear):
                return linear(x)
            gates[name] = linear.gates(x, mask)
            return linear.apply(x, gates[name])

        hidden = jax.nn.silu(apply("gate", x)) * apply("up", x)
        return apply("down", hidden), gates
