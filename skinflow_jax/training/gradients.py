"""Gradient accumulation over micro-batches, with the counts to divide by at the end.

A loss is a ratio of sums; dividing once, over the whole optimizer step, makes the result the same
however the batch is divided into micro-batches or sharded over devices.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from skinflow_jax.models.trainable import joined, trained_part
from skinflow_jax.parallel import constrain_module

Sums = dict[str, jax.Array]


def accumulated_gradients(
    loss_sums: Callable[[Any, Any], tuple[jax.Array, Any]],
    model: Any,
    batch: Any,
    micro_batches: int,
    merge: Callable[[Any, Any], Any],
) -> tuple[Any, Any]:
    """(gradient of the summed loss, merged auxiliary results) over `micro_batches` parts.

    The gradient has the trained parameters only (see `models.trainable`).

    Args:
      loss_sums: (model, part of the batch) to (loss sum, auxiliary results).
      model: a Vlm, differentiated by its trained parameters.
      batch: arrays whose leading axis is the prompt; it divides into the micro-batches.
      micro_batches: parts, taken one after another.
      merge: joins the auxiliary results of two parts.
    """

    def trained_sums(trained, part):
        return loss_sums(joined(trained, model), part)

    gradient, trained = jax.grad(trained_sums, has_aux=True), trained_part(model)
    if micro_batches == 1:
        return gradient(trained, batch)

    def step(total, part):
        gradients, aux = gradient(trained, part)
        return jax.tree.map(jnp.add, total, gradients), aux

    # From zero, so that the gradient is traced once and not a second time for the first part.
    zeros = constrain_module(jax.tree.map(jnp.zeros_like, trained))
    total, aux = jax.lax.scan(step, zeros, strided_parts(batch, micro_batches))
    by_part = [jax.tree.map(lambda x, i=i: x[i], aux) for i in range(micro_batches)]
    return total, functools.reduce(merge, by_part)


def strided_parts(batch: Any, parts: int) -> Any:
    """`batch` with its leading axis split in two, `[parts, rest]`.

    Part m takes every parts-th row from m on: on a mesh each part stays sharded over the devices.
    """
    return jax.tree.map(lambda x: jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1), batch)


def joined_parts(parts: Any) -> Any:
    """The inverse of `strided_parts`."""
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), parts)
