"""Is the dynamic vision encoder dynamic? Its gates over the images of a batch, looked at."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.training.gate_picture import gate_picture
from skinflow_jax.training.sinks import Findings

GROUP = "group"
"""The gate of the frequency groups."""


def gate_findings(model: Vlm, inputs: ModelInputs, compute: ComputeConfig) -> Findings:
    """Figures of every gate, and a picture of those of the frequency groups; none if static.

    Figures are `dve/block<i>/<map>_<gate>/mean`, over images and units, and `/spread`, the standard
    deviation among the images of the batch, averaged over units: 0 for gates that ignore the image,
    like all at conversion. The picture, `dve/groups`, has both by group.
    """
    if model.config.vision.dve is None:
        return Findings({})
    found = jax.tree.map(np.asarray, _by_unit(model, inputs, compute=compute))
    figures = {
        f"{name}/{kind}": float(np.mean(values))
        for name, both in found.items()
        for kind, values in both.items()
    }
    rows = {
        name.removeprefix("dve/").removesuffix(f"_{GROUP}"): (both["mean"], both["spread"])
        for name, both in found.items()
        if name.endswith(f"_{GROUP}")
    }
    return Findings(figures, images={"dve/groups": gate_picture(rows)[None]} if rows else {})


@functools.partial(jax.jit, static_argnames="compute")
def _by_unit(
    model: Vlm, inputs: ModelInputs, *, compute: ComputeConfig
) -> dict[str, dict[str, jax.Array]]:
    """Mean and standard deviation over the images, `[width]`, by gate."""
    gates, mask = _gates(model, inputs, compute)
    images = mask.any(axis=1)[:, None]
    return {
        f"dve/block{block}/{linear}_{kind}": {
            "mean": jnp.mean(values, axis=0, where=images),
            "spread": jnp.std(values, axis=0, where=images),
        }
        for block, maps in gates.items()
        for linear, kinds in maps.items()
        for kind, values in kinds.items()
    }


@functools.partial(jax.jit, static_argnames="compute")
def group_gates(
    model: Vlm, inputs: ModelInputs, *, compute: ComputeConfig
) -> dict[tuple[int, str], Float[jax.Array, "B I groups"]]:
    """The gates of the frequency groups of every image, by block and map."""
    gates, _ = _gates(model, inputs, compute)
    rows = inputs.patch_mask.shape[:2]
    return {
        (block, linear): kinds[GROUP].reshape(*rows, -1)
        for block, maps in gates.items()
        for linear, kinds in maps.items()
    }


def _gates(model: Vlm, inputs: ModelInputs, compute: ComputeConfig):
    """Those of every image of a batch, and which of its patches there are."""
    patches, mask, positions = inputs.images()
    return model.vision.gates(patches, mask, positions, dtype=jnp.dtype(compute.dtype)), mask
