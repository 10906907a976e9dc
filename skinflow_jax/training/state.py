"""What a training step turns into the next: step number, model, optimizer state."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from skinflow_jax.models.vlm import Vlm
from skinflow_jax.parallel import module_shardings


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """`step` counts the optimizer steps taken."""

    step: Int[Array, ""]
    model: Vlm
    opt_state: optax.OptState


def create_state(model: Vlm, optimizer: optax.GradientTransformation, mesh=None) -> TrainState:
    """A fresh state around `model`, laid out by the training rules on `mesh`."""

    def build(model):
        return TrainState(jnp.int32(0), model, optimizer.init(model))

    if mesh is None:
        return jax.jit(build)(model)
    shardings = module_shardings(jax.eval_shape(build, model), mesh)
    return jax.jit(build, out_shardings=shardings)(model)


def apply_gradients(
    state: TrainState, gradients: Vlm, optimizer: optax.GradientTransformation
) -> TrainState:
    """One optimizer step."""
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.model)
    return TrainState(state.step + 1, optax.apply_updates(state.model, updates), opt_state)
