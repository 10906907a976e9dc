"""Static model inputs mean the same as the ragged ones of transformers, whatever the padding."""

import numpy as np
import pytest
from random_model import spread_model

from skinflow_jax.errors import InputError
from skinflow_jax.models.config import model_config
from skinflow_jax.models.forward import forward_logits
from skinflow_jax.models.inputs import (
    build_inputs,
    patch_grid_positions,
    patch_slots,
    token_count,
    unit_slots,
    window_count,
)

CONFIG = model_config("tiny")
VISION = CONFIG.vision
GRIDS = [(2, 2), (8, 8), (6, 10), (10, 6), (18, 22), (2, 34), (16, 24)]


def row(rng, *grids):
    """Text, then each image between its markers, then text: ids and (patches, grid) pairs."""
    ids = list(rng.integers(10, 900, rng.integers(1, 5)))
    for grid in grids:
        ids += [CONFIG.vision_start_token_id]
        ids += [CONFIG.image_token_id] * token_count(grid, VISION)
        ids += [CONFIG.vision_end_token_id, *rng.integers(10, 900, rng.integers(0, 4))]
    images = [
        (rng.standard_normal((h * w, VISION.patch_dim), np.float32), (h, w)) for h, w in grids
    ]
    return np.array(ids), images


def batch(*rows_of_grids, seed=0, **options):
    rng = np.random.default_rng(seed)
    rows = [row(rng, *grids) for grids in rows_of_grids]
    ids, images = [r[0] for r in rows], [r[1] for r in rows]
    return ids, images, build_inputs(ids, images, CONFIG, **options)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def rope_oracle(torch):
    """transformers' own `get_rope_index` on the smallest model that has it."""
    modeling = pytest.importorskip("transformers.models.qwen2_5_vl.modeling_qwen2_5_vl")
    from transformers import Qwen2_5_VLConfig

    text = {
        "vocab_size": 1024,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=CONFIG.image_token_id,
        video_token_id=CONFIG.video_token_id,
        vision_start_token_id=CONFIG.vision_start_token_id,
        vision_end_token_id=CONFIG.vision_end_token_id,
    )
    return modeling.Qwen2_5_VLModel(config).get_rope_index


@pytest.mark.parametrize("left_pad", [False, True])
def test_positions_equal_transformers_rope_index(torch, rope_oracle, left_pad):
    """Rows with no, one and three images of odd grids, padded on either side."""
    rows = [[], [(6, 10)], [(18, 22), (2, 2), (2, 34)], [(10, 6), (8, 8)]]
    _, _, inputs = batch(*rows, length=300, left_pad=left_pad)
    ids = torch.tensor(inputs.input_ids, dtype=torch.long)
    grids = [(1, *grid) for grids in rows for grid in grids]

    positions, deltas = rope_oracle(
        ids,
        mm_token_type_ids=(ids == CONFIG.image_token_id).int(),
        image_grid_thw=torch.tensor(grids),
        attention_mask=torch.tensor(inputs.token_mask).long(),
    )

    expected = positions.numpy().transpose(1, 0, 2)
    mask = np.broadcast_to(inputs.token_mask[:, None], expected.shape)
    np.testing.assert_array_equal(inputs.positions[mask], expected[mask])
    # Theirs counts from the number of tokens, ours is the position itself.
    tokens = inputs.token_mask.sum(axis=1)
    np.testing.assert_array_equal(inputs.next_position, tokens + deltas.numpy()[:, 0])


@pytest.mark.parametrize("grid", GRIDS)
def test_windows_hold_the_units_that_transformers_puts_into_them(torch, grid):
    vision_utils = pytest.importorskip("transformers.vision_utils")
    order, ends = vision_utils.get_vision_window_index(
        torch.tensor([[1, *grid]]), VISION.merge_size, VISION.window_size, VISION.patch_size
    )
    slots = unit_slots(grid, VISION)
    np.testing.assert_array_equal(np.argsort(slots), order.numpy())
    per_window = np.diff(ends.numpy()) // VISION.merge_unit
    window = slots // VISION.window_units**2
    np.testing.assert_array_equal(
        np.bincount(window, minlength=window_count(grid, VISION)), per_window
    )


@pytest.mark.parametrize("grid", GRIDS)
def test_patch_positions_equal_those_of_transformers(torch, grid):
    vision_utils = pytest.importorskip("transformers.vision_utils")
    expected = vision_utils.get_vision_position_ids(torch.tensor([[1, *grid]]), VISION.merge_size)
    np.testing.assert_array_equal(patch_grid_positions(grid, VISION), expected.numpy())


@pytest.mark.parametrize("grid", GRIDS)
def test_every_patch_has_its_own_slot(grid):
    slots = patch_slots(grid, VISION)
    assert len(set(slots)) == grid[0] * grid[1]
    assert slots.min() >= 0 and slots.max() < window_count(grid, VISION) * VISION.window_patches


@pytest.mark.parametrize("left_pad", [False, True])
def test_image_tokens_point_at_the_patches_of_their_own_image(left_pad):
    """Each placeholder's feature has the next four patches of its image."""
    ids, images, inputs = batch(
        [(6, 10), (8, 8)], [(2, 2)], [(10, 6), (18, 22)], left_pad=left_pad, length=200, windows=9
    )
    rows, per_row = inputs.patches.shape[0], inputs.patches.shape[1] * inputs.patches.shape[2]
    units = inputs.patches.reshape(rows, per_row // 4, 4, VISION.patch_dim)
    for b in range(rows):
        slots = inputs.image_slots[b][inputs.image_slots[b] >= 0]
        expected = np.concatenate([patches for patches, _ in images[b]])
        np.testing.assert_array_equal(units[b, slots].reshape(expected.shape), expected)
        at = np.flatnonzero(inputs.image_slots[b] >= 0)
        assert (inputs.input_ids[b, at] == CONFIG.image_token_id).all()
        np.testing.assert_array_equal(inputs.input_ids[b][inputs.token_mask[b]], ids[b])


def test_pads_are_inert_fields():
    """What no token or patch owns is masked, points at no image and holds no number."""
    _, _, inputs = batch([(6, 10)], [], length=40, windows=5, images=2)
    pad = ~inputs.token_mask
    assert (inputs.input_ids[pad] == CONFIG.pad_token_id).all()
    assert (inputs.image_slots[pad] == -1).all()
    assert (inputs.positions.transpose(0, 2, 1)[pad] == 0).all()
    assert inputs.patch_mask.sum() == 6 * 10
    assert (inputs.patches[~inputs.patch_mask] == 0).all()
    assert (inputs.patch_positions[~inputs.patch_mask] == 0).all()


@pytest.mark.parametrize("left_pad", [False, True])
def test_pads_lie_on_the_side_that_was_asked_for(left_pad):
    ids, _, inputs = batch([(6, 10)], [], length=40, left_pad=left_pad)
    expected = [[False] * (40 - len(row)) + [True] * len(row) for row in ids]
    mask = inputs.token_mask if left_pad else inputs.token_mask[:, ::-1]
    np.testing.assert_array_equal(mask, expected)


def test_a_larger_bucket_only_adds_pads():
    _, _, tight = batch([(6, 10)], [(8, 8)])
    _, _, wide = batch([(6, 10)], [(8, 8)], length=64, windows=7, images=3)
    length, slots = tight.input_ids.shape[1], tight.patches.shape[2]
    np.testing.assert_array_equal(wide.input_ids[:, :length], tight.input_ids)
    np.testing.assert_array_equal(wide.positions[:, :, :length], tight.positions)
    np.testing.assert_array_equal(wide.image_slots[:, :length], tight.image_slots)
    np.testing.assert_array_equal(wide.patches[:, :1, :slots], tight.patches)
    np.testing.assert_array_equal(wide.next_position, tight.next_position)
    assert wide.token_mask.sum() == tight.token_mask.sum()
    assert wide.patch_mask.sum() == tight.patch_mask.sum()


def test_placeholders_that_do_not_match_the_images_are_refused():
    ids, images, _ = batch([(6, 10)])
    with pytest.raises(InputError, match="row 0: 15 image placeholder tokens but 0 images"):
        build_inputs(ids, [[]], CONFIG)
    with pytest.raises(InputError, match=r"row 0: 14 image placeholder tokens but 1 images.* 15"):
        build_inputs([np.delete(ids[0], list(ids[0]).index(CONFIG.image_token_id))], images, CONFIG)


def test_placeholders_are_matched_image_by_image():
    """The sum is right, and yet each image would be read at the other's positions."""
    grids = [(6, 10), (8, 8)]
    ids, images, _ = batch([(2, 2)], grids)
    swapped = [ids[0], row(np.random.default_rng(0), *grids[::-1])[0]]
    message = "row 1: image 0 has 16 placeholder tokens but its 6x10 patches need 15; expand"
    with pytest.raises(InputError, match=message):
        build_inputs(swapped, images, CONFIG)
    joined = np.full(31, CONFIG.image_token_id)
    with pytest.raises(InputError, match="row 1: 1 runs of image placeholder tokens for 2 images"):
        build_inputs([ids[0], joined], images, CONFIG)
    split = ids[1].tolist()
    split.insert(split.index(CONFIG.image_token_id) + 3, 9)
    with pytest.raises(InputError, match="row 1: 3 runs of image placeholder tokens for 2 images"):
        build_inputs([ids[0], np.array(split)], images, CONFIG)


def test_images_of_a_processors_flat_list_go_to_the_rows_that_have_placeholders_for_them():
    """Row 0 has one placeholder too few for its image; row 1 one too many: no image moves over."""
    model = spread_model()
    ids, images, _ = batch([(6, 10)], [(8, 8)])
    flat = {
        "pixel_values": np.concatenate([patches for row in images for patches, _ in row]),
        "image_grid_thw": np.array([(1, *grid) for row in images for _, grid in row]),
    }
    length = max(map(len, ids))
    mask = np.array([[True] * len(row) + [False] * (length - len(row)) for row in ids])
    padded = np.array([[*row, *[CONFIG.pad_token_id] * (length - len(row))] for row in ids])
    wrong = padded[::-1], mask[::-1]
    with pytest.raises(InputError, match=r"row 0: 16 image placeholder tokens but 1 images.* 15"):
        forward_logits(model, input_ids=wrong[0], attention_mask=wrong[1], **flat)
    with pytest.raises(InputError, match="2 images but the batch has placeholders for 1"):
        forward_logits(model, input_ids=padded[:1], attention_mask=mask[:1], **flat)
    with pytest.raises(InputError, match="row 1: 16 image placeholder tokens but 0 images"):
        one = {"pixel_values": flat["pixel_values"][:60], "image_grid_thw": [(1, 6, 10)]}
        forward_logits(model, input_ids=padded, attention_mask=mask, **one)


def test_odd_grids_and_videos_are_refused():
    with pytest.raises(InputError, match="row 0: image grid 3x4"):
        build_inputs([np.full(3, CONFIG.image_token_id)], [[(None, (3, 4))]], CONFIG)
    with pytest.raises(InputError, match="row 0: video placeholders"):
        build_inputs([np.array([9, CONFIG.video_token_id])], [[]], CONFIG)


def test_a_bucket_that_is_too_small_is_refused():
    with pytest.raises(InputError, match="prompt tokens but the largest bucket holds 4"):
        batch([(6, 10)], length=4)
    with pytest.raises(InputError, match="needs 9 windows but the bucket holds 2"):
        batch([(18, 22)], windows=2)
    with pytest.raises(InputError, match="has 2 images but the batch allows 1"):
        batch([(2, 2), (2, 2)], images=1)
