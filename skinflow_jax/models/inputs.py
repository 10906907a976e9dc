"""From a processor's ragged arrays to the model's static ones. NumPy, on the host.

A Qwen2.5-VL image is `h x w` patches, listed 2x2 block by 2x2 block ("merged units"). The tower's
window attention sees squares of 4x4 units. Here every window owns 64 patch slots, so an image is
a row of `windows * 64` slots, windowed attention is a batch of 64-patch groups, and a window that
sticks out of the image simply has empty slots (`patch_mask` False). Order within a row: windows
row by row, units row by row within a window, the 4 patches of a unit together.
"""

import functools
import math
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VisionConfig, VlmConfig


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ModelInputs:
    """Prompts of one batch: B rows of L token slots, each with up to I images of S patch slots.

    `image_slots[b, l]` is the index of the token's image feature among the row's `I * S/4` merged
    features, -1 for text. `positions` are the M-RoPE ids (time, row, column).
    `next_position[b]` is the rope position of the first token after the prompt. Patches are uint8,
    of one frame, where they come from images, and float32 where a processor made them.
    """

    input_ids: Int[Array, "B L"]
    token_mask: Bool[Array, "B L"]
    positions: Int[Array, "B 3 L"]
    next_position: Int[Array, " B"]
    image_slots: Int[Array, "B L"]
    patches: UInt8[Array, "B I S patch_pixels"] | Float[Array, "B I S patch_dim"]
    patch_mask: Bool[Array, "B I S"]
    patch_positions: Int[Array, "B I S 2"]

    def images(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Patches, mask and positions as the tower takes them: all images along one axis."""
        fields = (self.patches, self.patch_mask, self.patch_positions)
        return tuple(x.reshape(-1, *x.shape[2:]) for x in fields)


def window_count(grid: tuple[int, int], config: VisionConfig) -> int:
    """Windows that an image of `grid` = (rows, columns) patches touches."""
    side = config.window_units * config.merge_size
    return math.ceil(grid[0] / side) * math.ceil(grid[1] / side)


def token_count(grid: tuple[int, int], config: VisionConfig) -> int:
    """Image tokens of an image of `grid` = (rows, columns) patches."""
    return grid[0] * grid[1] // config.merge_unit


def unit_slots(grid: tuple[int, int], config: VisionConfig) -> np.ndarray:
    """Slot of each merged unit, in processor order: int `[tokens]` into `windows * 16` slots."""
    rows, columns = grid[0] // config.merge_size, grid[1] // config.merge_size
    side = config.window_units
    row, column = np.divmod(np.arange(rows * columns), columns)
    window = (row // side) * math.ceil(columns / side) + column // side
    return window * side**2 + (row % side) * side + column % side


def patch_slots(grid: tuple[int, int], config: VisionConfig) -> np.ndarray:
    """Slot of each patch, in processor order: int `[rows * columns]` into `windows * 64` slots."""
    within = np.arange(config.merge_unit)
    return (unit_slots(grid, config)[:, None] * config.merge_unit + within).reshape(-1)


def patch_grid_positions(grid: tuple[int, int], config: VisionConfig) -> np.ndarray:
    """Row and column of each patch, in processor order: int `[rows * columns, 2]`."""
    m = config.merge_size
    shape = (grid[0] // m, grid[1] // m, m, m)
    block_row, block_column, row, column = np.indices(shape)
    return np.stack([block_row * m + row, block_column * m + column], axis=-1).reshape(-1, 2)


@functools.lru_cache(maxsize=256)
def _layout(
    grid: tuple[int, int], config: VisionConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`patch_slots`, `patch_grid_positions` and `unit_slots` of a grid, which is seen again."""
    layout = patch_slots(grid, config), patch_grid_positions(grid, config), unit_slots(grid, config)
    for array in layout:
        array.setflags(write=False)
    return layout


def mrope_positions(
    ids: np.ndarray, grids: list[tuple[int, int]], config: VlmConfig
) -> tuple[np.ndarray, int]:
    """M-RoPE ids `[3, L]` of an unpadded row and the position of the token that would follow.

    Text counts on in all three axes; an image of h x w units holds time still and counts rows and
    columns from its start; what follows it starts at start + max(h, w). As in `get_rope_index` of
    transformers' modeling_qwen2_5_vl.py. The caller has checked placeholders against `grids`.
    """
    segments, start, next_position = [], 0, 0
    is_image = ids == config.image_token_id
    for grid in grids:
        first = start + int(np.argmax(is_image[start:]))
        text = np.arange(next_position, next_position + first - start)
        segments.append(np.broadcast_to(text, (3, len(text))))
        next_position += len(text)
        rows, columns = (side // config.vision.merge_size for side in grid)
        row, column = np.indices((rows, columns)).reshape(2, -1)
        segments.append(np.stack([np.zeros_like(row), row, column]) + next_position)
        next_position += max(rows, columns)
        start = first + rows * columns
    text = np.arange(next_position, next_position + len(ids) - start)
    segments.append(np.broadcast_to(text, (3, len(text))))
    return np.concatenate(segments, axis=1).astype(np.int32), next_position + len(text)


def placeholder_runs(ids: np.ndarray, config: VlmConfig) -> np.ndarray:
    """Lengths of the runs of placeholder tokens in a row, one run an image: int `[images]`."""
    is_image = np.concatenate([[False], ids == config.image_token_id, [False]])
    starts, stops = np.flatnonzero(is_image[1:] != is_image[:-1]).reshape(-1, 2).T
    return stops - starts


def check_placeholders(
    ids: np.ndarray, grids: list[tuple[int, int]], config: VlmConfig, row: str
) -> None:
    """Raise InputError unless each image has its own run of placeholder tokens, in order."""
    m, runs = config.vision.merge_size, placeholder_runs(ids, config).tolist()
    for grid in grids:
        if grid[0] % m or grid[1] % m or min(grid) < m:
            raise InputError(
                f"{row}: image grid {grid[0]}x{grid[1]} patches must be positive multiples of {m}"
            )
    needed = [token_count(grid, config.vision) for grid in grids]
    remedy = f"expand each image's placeholder to rows*columns/{m * m} tokens"
    if sum(runs) != sum(needed):
        raise InputError(
            f"{row}: {sum(runs)} image placeholder tokens but {len(grids)} images that need "
            f"{sum(needed)}; {remedy}"
        )
    if len(runs) != len(needed):
        raise InputError(
            f"{row}: {len(runs)} runs of image placeholder tokens for {len(grids)} images; each "
            "image needs one of its own, between the tokens that start and end an image"
        )
    for image, (run, tokens) in enumerate(zip(runs, needed, strict=True)):
        if run != tokens:
            rows, columns = grids[image]
            raise InputError(
                f"{row}: image {image} has {run} placeholder tokens but its {rows}x{columns} "
                f"patches need {tokens}; {remedy}"
            )
    if (ids == config.video_token_id).any():
        raise InputError(f"{row}: video placeholders are not supported; pass still images")


def empty_inputs(
    batch: int, config: VlmConfig, *, length: int, windows: int, images: int, dtype=np.uint8
) -> ModelInputs:
    """All-padding inputs in the shapes that `build_inputs` fills; `dtype` is that of patches."""
    slots = windows * config.vision.window_patches
    numbers = config.vision.patch_pixels if dtype == np.uint8 else config.vision.patch_dim
    return ModelInputs(
        input_ids=np.full((batch, length), config.pad_token_id, np.int32),
        token_mask=np.zeros((batch, length), bool),
        positions=np.zeros((batch, 3, length), np.int32),
        next_position=np.zeros(batch, np.int32),
        image_slots=np.full((batch, length), -1, np.int32),
        patches=np.zeros((batch, images, slots, numbers), dtype),
        patch_mask=np.zeros((batch, images, slots), bool),
        patch_positions=np.zeros((batch, images, slots, 2), np.int32),
    )


def build_inputs(
    token_rows: list[np.ndarray],
    image_rows: list[list[tuple[np.ndarray, tuple[int, int]]]],
    config: VlmConfig,
    *,
    length: int | None = None,
    windows: int | None = None,
    images: int | None = None,
    left_pad: bool = False,
) -> ModelInputs:
    """Pack rows into static shapes.

    Args:
      token_rows: unpadded ids of each row, image placeholders already expanded.
      image_rows: per row, its images in order: (patches in processor order, (rows, columns) in
        patches); patches are uint8 `[n, patch_pixels]` or, of all images, float `[n, patch_dim]`.
      config: the model's sizes and ids.
      length: token slots L; windows: windows an image row holds (S = 64 * windows); images: I.
        None takes the smallest that fits.
      left_pad: padding before the tokens instead of after them.

    Raises:
      InputError: a row longer than `length`, more or larger images than the bucket holds, or
        placeholders that do not match the images.
    """
    vision = config.vision
    length = length or max(map(len, token_rows))
    grids = [[grid for _, grid in row] for row in image_rows]
    needed_windows = max((window_count(g, vision) for row in grids for g in row), default=1)
    needed_images = max(map(len, grids))
    windows, images = windows or needed_windows, needed_images if images is None else images
    if needed_windows > windows:
        raise InputError(
            f"an image needs {needed_windows} windows but the bucket holds {windows}: "
            "lower data.max_pixels or raise data.windows"
        )
    if needed_images > images:
        raise InputError(f"a prompt has {needed_images} images but the batch allows {images}")

    kinds = {np.asarray(patches).dtype for row in image_rows for patches, _ in row}
    dtype = np.uint8 if kinds <= {np.dtype(np.uint8)} else np.float32
    shape = {"length": length, "windows": windows, "images": images}
    out = empty_inputs(len(token_rows), config, **shape, dtype=dtype)
    slots = windows * vision.window_patches
    for b, (ids, row) in enumerate(zip(token_rows, image_rows, strict=True)):
        ids = np.asarray(ids)
        if len(ids) > length:
            raise InputError(
                f"row {b}: {len(ids)} prompt tokens but the largest bucket holds {length}: "
                "raise data.prompt_length or shrink the images"
            )
        check_placeholders(ids, grids[b], config, f"row {b}")
        here = slice(length - len(ids), length) if left_pad else slice(0, len(ids))
        out.input_ids[b, here] = ids
        out.token_mask[b, here] = True
        out.positions[b, :, here], out.next_position[b] = mrope_positions(ids, grids[b], config)
        features = []
        for i, (patches, grid) in enumerate(row):
            slot, places, units = _layout(tuple(grid), vision)
            out.patches[b, i, slot] = patches
            out.patch_mask[b, i, slot] = True
            out.patch_positions[b, i, slot] = places
            features.append(units + i * slots // vision.merge_unit)
        if features:
            is_image = np.zeros(length, bool)
            is_image[here] = ids == config.image_token_id
            out.image_slots[b, is_image] = np.concatenate(features)
    return out
