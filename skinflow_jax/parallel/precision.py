"""Which type a parameter is read in: the activations', or float32 where it says so.

A parameter that the forward pass reads in float32 carries that beside the names of its axes,
`nnx.Param(value, axes=(None,), float32=True)`. The layers compute by it, and a copy of a model in
another type keeps it as it is.
"""

import jax
import jax.numpy as jnp
from flax import nnx


def read_dtype(parameter: nnx.Variable, dtype) -> jnp.dtype:
    """The type that the forward pass reads `parameter` in where activations have `dtype`."""
    return jnp.dtype(jnp.float32 if getattr(parameter, "float32", False) else dtype)


def as_read(module, dtype):
    """`module`, or any tree of parameters, in the types that it is read in, see `read_dtype`."""

    def cast(parameter):
        return jax.tree.map(lambda x: x.astype(read_dtype(parameter, dtype)), parameter)

    return jax.tree.map(cast, module, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
