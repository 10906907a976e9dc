"""Logits from a Hugging Face processor's own arrays: what other people's scripts call."""

import functools

import jax
import numpy as np

from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import build_inputs, placeholder_runs
from skinflow_jax.models.vlm import DEFAULT_COMPUTE, ComputeConfig, Vlm, prompt_states


@functools.partial(jax.jit, static_argnames="compute")
def _logits(model, inputs, compute):
    states, _ = prompt_states(model, inputs, compute)
    return model.decoder.logits(states)


def forward_logits(
    model: Vlm,
    *,
    input_ids: np.ndarray,
    attention_mask: np.ndarray | None = None,
    pixel_values: np.ndarray | None = None,
    image_grid_thw: np.ndarray | None = None,
    compute: ComputeConfig = DEFAULT_COMPUTE,
) -> np.ndarray:
    """float32 logits `[B, L, V]`; zeros at padding.

    Args:
      model: the model.
      input_ids: `[B, L]`, padded left or right, placeholders expanded as the processor does.
      attention_mask: `[B, L]`, 1 at real tokens; None means all are.
      pixel_values: `[patches of all images, patch_dim]`, images in reading order over the batch.
      image_grid_thw: `[images, 3]`, frames (1), rows and columns of each image in patches.

    Raises:
      InputError: images and placeholders do not match, or an image has more than one frame.
    """
    input_ids = np.asarray(input_ids)
    mask = np.ones(input_ids.shape, bool)
    if attention_mask is not None:
        mask = np.asarray(attention_mask).astype(bool)
    if not mask.any(axis=1).all():
        raise InputError(f"row {int(np.argmin(mask.any(axis=1)))}: attention_mask is all zeros")
    token_rows = [ids[row_mask] for ids, row_mask in zip(input_ids, mask, strict=True)]
    image_rows = _images_of_rows(token_rows, pixel_values, image_grid_thw, model.config)
    inputs = build_inputs(token_rows, image_rows, model.config)
    packed = np.asarray(_logits(model, inputs, compute))
    out = np.zeros((*input_ids.shape, packed.shape[-1]), np.float32)
    for row, row_mask, logits in zip(out, mask, packed, strict=True):
        row[row_mask] = logits[: row_mask.sum()]
    return out


def _images_of_rows(token_rows, pixel_values, image_grid_thw, config: VlmConfig):
    """Assign the flat list of images to rows: as many as a row has runs of placeholder tokens."""
    grids = np.zeros((0, 3), int) if image_grid_thw is None else np.asarray(image_grid_thw)
    if (grids[:, 0] != 1).any():
        raise InputError(f"image_grid_thw {grids.tolist()}: images must have one frame (t = 1)")
    sizes = grids.prod(axis=1)
    patches = np.zeros((0, config.vision.patch_dim)) if pixel_values is None else pixel_values
    if len(patches) != sizes.sum():
        raise InputError(
            f"pixel_values has {len(patches)} patches but image_grid_thw asks for {sizes.sum()}"
        )
    stops = np.cumsum(sizes)
    images = [
        (np.asarray(patches[stop - size : stop]), (int(grid[1]), int(grid[2])))
        for grid, size, stop in zip(grids, sizes, stops, strict=True)
    ]
    rows, used = [], 0
    for ids in token_rows:
        wanted = len(placeholder_runs(ids, config))
        rows.append(images[used : used + wanted])
        used += len(rows[-1])
    if used < len(images):
        raise InputError(
            f"{len(images)} images but the batch has placeholders for {used}: "
            "each image needs a run of rows*columns/4 image tokens"
        )
    return rows
