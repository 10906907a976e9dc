"""The train state: step number, model, optimizer state."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jax.sharding import SingleDeviceSharding
from jaxtyping import Array, Bool, Int

from skinflow_jax.models.trainable import joined, trained_part
from skinflow_jax.models.vlm import Vlm
from skinflow_jax.parallel import constrain_module, module_shardings, place_module


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """`step` counts the steps of the loop taken, each of one or more optimizer steps.

    `opt_state` is of the trained parameters alone.
    """

    step: Int[Array, ""]
    model: Vlm
    opt_state: optax.OptState


def create_state(model: Vlm, optimizer: optax.GradientTransformation, mesh=None) -> TrainState:
    """A fresh state around `model`, sharded by the training rules on `mesh`.

    It takes the arrays of `model` over, where they lie so already: who needs them after an update
    of the state, which donates them, gives a copy.
    """
    # Bound to a device by name, like a restored state: both then run the same compiled program.
    device = SingleDeviceSharding(jax.devices()[0])
    model = jax.device_put(model, device) if mesh is None else place_module(model, mesh)
    build, trained = functools.partial(_fresh, optimizer=optimizer), trained_part(model)
    shardings = device
    if mesh is not None:
        shardings = module_shardings(jax.eval_shape(build, trained), mesh)
    step, opt_state = jax.jit(build, out_shardings=shardings)(trained)
    return TrainState(step, model, opt_state)


def abstract_state(model: Vlm, optimizer: optax.GradientTransformation, mesh=None) -> TrainState:
    """What `create_state` gives, as ShapeDtypeStructs: what a checkpoint is restored into."""
    state = jax.eval_shape(functools.partial(_build, optimizer=optimizer), model)
    if mesh is None:
        return state
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        state,
        module_shardings(state, mesh),
    )


def _build(model: Vlm, optimizer: optax.GradientTransformation) -> TrainState:
    step, opt_state = _fresh(trained_part(model), optimizer)
    return TrainState(step, model, opt_state)


def _fresh(trained: Vlm, optimizer: optax.GradientTransformation):
    """Step and optimizer state before the first update."""
    return jnp.int32(0), optimizer.init(trained)


def is_finite(metrics: dict[str, jax.Array]) -> Bool[Array, ""]:
    """Whether what must be finite for an update to be taken is so: loss and gradient."""
    return jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])


def apply_gradients(
    state: TrainState,
    gradients: Vlm,
    optimizer: optax.GradientTransformation,
    *,
    where: Bool[Array, ""] | bool = True,
) -> TrainState:
    """One optimizer step; `state.step` is left to who knows when a step of the loop is whole.

    `gradients` have the trained parameters alone; the others stay as they are, and so does all
    of the state if `where` is False.

    The new state has the old one's sharding: the compiler might choose another, for which every
    program would be recompiled.
    """
    gradients = constrain_module(gradients)
    trained = trained_part(state.model)
    updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
    moved, opt_state = jax.tree.map(
        lambda new, old: jnp.where(where, new, old),
        (optax.apply_updates(trained, updates), opt_state),
        (trained, state.opt_state),
    )
    return constrain_module(TrainState(state.step, joined(moved, state.model), opt_state))
