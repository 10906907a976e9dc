"""Parameters meeting activations, with the parameters' gradients summed in float32.

The rows of a batch lie on several devices, so a parameter's gradient is a sum over devices. With
bfloat16 activations the gradient that JAX derives would be made, and summed, in bfloat16 and cast
afterwards: the cast of the parameter comes last in the backward pass. Here it is inside.
"""

import functools

import jax
import jax.numpy as jnp
from jax.lax import dot_general
from jaxtyping import Array, Float, Int

from skinflow_jax.parallel import constrain


def _float32_product(x, y, dimensions):
    """dot_general that sums in float32 what it makes of operands in their own type."""
    product = functools.partial(
        dot_general, dimension_numbers=dimensions, preferred_element_type=jnp.float32
    )
    if x.dtype == jnp.float32:
        return product(x, y)
    # XLA's CPU compiler has no bfloat16 product with a float32 result in every layout.
    return jax.lax.platform_dependent(
        x,
        y,
        cpu=lambda x, y: product(x.astype(jnp.float32), y.astype(jnp.float32)),
        default=product,
    )


@jax.custom_vjp
def product(x: Float[Array, "*lead M"], kernel: Float[Array, "..."]) -> Float[Array, "*lead N"]:
    """x @ kernel in the dtype of `x`, with gradients for which XLA's CPU compiler copies little.

    The kernel may have several axes of input (M in all) and of output: as it is stored, a backward
    pass need not save it.

    The gradient of the kernel contracts the rows of both operands, so one has to be transposed:
    the narrower. Transposing `x` always, recomputed where it was not saved, took a twelfth of a
    GRPO update; the transposed product that JAX derives, a seventh.
    """
    return x @ _matrix(kernel, x)


def _product_forward(x, kernel):
    return product(x, kernel), (x, kernel)


def _product_backward(residuals, gradient):
    x, kernel = residuals
    over_columns = (((gradient.ndim - 1,), (1,)), ((), ()))
    grad_x = dot_general(gradient, _matrix(kernel, x), over_columns)
    over_rows = (_rows(x), _rows(x)), ((), ())
    if x.shape[-1] > gradient.shape[-1]:
        grad_kernel = _float32_product(gradient, x, over_rows).T
    else:
        grad_kernel = _float32_product(x, gradient, over_rows)
    return grad_x, grad_kernel.reshape(kernel.shape).astype(kernel.dtype)


product.defvjp(_product_forward, _product_backward)


def _matrix(kernel, x):
    return kernel.reshape(x.shape[-1], -1).astype(x.dtype)


@jax.custom_vjp
def logits_of(
    hidden: Float[Array, "*lead D"], table: Float[Array, "V D"]
) -> Float[Array, "*lead V"]:
    """hidden @ table.T, float32, from operands in the dtype of `hidden`."""
    over_features = (((hidden.ndim - 1,), (1,)), ((), ()))
    return _float32_product(hidden, table.astype(hidden.dtype), over_features)


def _logits_forward(hidden, table):
    return logits_of(hidden, table), (hidden, table)


def _logits_backward(residuals, gradient):
    hidden, table = residuals
    over_vocabulary = (((gradient.ndim - 1,), (0,)), ((), ()))
    grad_hidden = _float32_product(gradient, table.astype(hidden.dtype), over_vocabulary)
    over_rows = (_rows(hidden), _rows(hidden)), ((), ())
    grad_table = _float32_product(gradient, hidden, over_rows)
    return grad_hidden.astype(hidden.dtype), grad_table.astype(table.dtype)


logits_of.defvjp(_logits_forward, _logits_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def embedded(table: Float[Array, "V D"], ids: Int[Array, "..."], dtype) -> Float[Array, "... D"]:
    """Rows `ids` of a table of axes (vocab, embed), which is cast before devices gather it."""
    # Embedding axis unsharded: sharded rows would make the gradient replicate activations.
    return jnp.take(constrain(table.astype(dtype), "vocab", None), ids, axis=0)


def _embedded_forward(table, ids, dtype):
    return embedded(table, ids, dtype), (table, ids)


def _embedded_backward(dtype, residuals, gradient):
    table, ids = residuals
    total = constrain(jnp.zeros(table.shape, jnp.float32), "vocab", None)
    total = total.at[ids].add(gradient.astype(jnp.float32))
    return constrain(total, "vocab", None).astype(table.dtype), None


embedded.defvjp(_embedded_forward, _embedded_backward)


def spread(parameter: Float[Array, "..."], like: Float[Array, "..."]) -> Float[Array, "..."]:
    """A bias or a scale, whose axes are the last of `like`, in the shape and dtype of `like`."""
    return _spread(parameter, like.shape, jnp.dtype(like.dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _spread(parameter, shape, dtype):
    return jnp.broadcast_to(parameter.astype(dtype), shape)


def _spread_forward(parameter, shape, dtype):
    return _spread(parameter, shape, dtype), parameter


def _spread_backward(shape, dtype, parameter, gradient):
    rows = tuple(range(len(shape) - parameter.ndim))
    return (jnp.sum(gradient, axis=rows, dtype=jnp.float32).astype(parameter.dtype),)


_spread.defvjp(_spread_forward, _spread_backward)


def _rows(x) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))
