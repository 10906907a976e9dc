"""Is the dynamic vision encoder dynamic? Its gates over the images of a batch, as figures."""

import functools

import jax
import jax.numpy as jnp

from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.vlm import ComputeConfig, Vlm


def gate_figures(model: Vlm, inputs: ModelInputs, compute: ComputeConfig) -> dict[str, float]:
    """`dve/block<i>/<map>_<gate>/mean` and `/spread` for every gate; empty for a static model.

    The mean is over images and units; the spread is the standard deviation among the images of
    the batch, averaged over units: 0 for gates that ignore the image, like all at conversion.
    """
    if model.config.vision.dve is None:
        return {}
    found = _figures(model, inputs, compute=compute)
    return {name: float(value) for name, value in found.items()}


@functools.partial(jax.jit, static_argnames="compute")
def _figures(model: Vlm, inputs: ModelInputs, *, compute: ComputeConfig) -> dict[str, jax.Array]:
    patches, mask, positions = inputs.images()
    gates = model.vision.gates(patches, mask, positions, dtype=jnp.dtype(compute.dtype))
    images = mask.any(axis=1)[:, None]
    figures = {}
    for block, maps in gates.items():
        for linear, kinds in maps.items():
            for kind, values in kinds.items():
                name = f"dve/block{block}/{linear}_{kind}"
                figures[f"{name}/mean"] = jnp.mean(values, where=images)
                figures[f"{name}/spread"] = jnp.mean(jnp.std(values, axis=0, where=images))
    return figures
