"""Image files become the very patches that transformers' processor makes, or one clear error."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from skinflow_jax.data.images import (
    load_image,
    patchify,
    preprocessor_config,
    resize,
    smart_resize,
)
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VisionConfig

VISION = VisionConfig()
BUDGET = {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 64}


@pytest.fixture(scope="module")
def reference():
    return pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    "height, width", [(97, 211), (224, 224), (13, 40), (601, 333), (5, 900), (301, 28)]
)
def test_patches_equal_those_of_transformers(reference, tmp_path, height, width):
    """The exported preprocessor_config.json leads transformers to the pixels of our pipeline."""
    config = preprocessor_config(**BUDGET, vision=VISION)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    processor = reference.Qwen2VLImageProcessorPil.from_pretrained(tmp_path)
    image = noise(height, width)

    expected = processor(Image.fromarray(image), return_tensors="np")
    patches, grid = patchify(resize(image, **BUDGET), VISION)

    assert (1, *grid) == tuple(expected["image_grid_thw"][0])
    assert patches.dtype == np.float32
    np.testing.assert_allclose(patches, expected["pixel_values"], rtol=0, atol=1e-6)


def test_resizing_a_resized_image_changes_nothing():
    """Records hold resized images: a processor that meets one again must leave it alone."""
    once = resize(noise(97, 611), **BUDGET)
    np.testing.assert_array_equal(resize(once, **BUDGET), once)


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    min_units=st.integers(1, 64),
    more_units=st.integers(0, 1000),
)
def test_sizes_equal_those_of_transformers(reference, height, width, min_units, more_units):
    budget = {"min_pixels": 784 * min_units, "max_pixels": 784 * (min_units + more_units)}
    try:
        expected = reference.smart_resize(height, width, **budget)
    except ValueError:
        with pytest.raises(InputError, match="200 times"):
            smart_resize(height, width, **budget)
        return
    assert smart_resize(height, width, **budget) == expected


def test_preprocessor_config_of_the_published_budget_is_the_published_file(test_data):
    published = json.loads((test_data / "qwen2_5_vl_7b" / "preprocessor_config.json").read_text())
    assert preprocessor_config(3136, 12845056, VISION) == published


def test_an_image_that_is_not_resized_is_refused():
    with pytest.raises(InputError, match="100x56 pixels: resize to multiples of 28"):
        patchify(noise(100, 56), VISION)


def test_exif_orientation_turns_the_image_upright(tmp_path):
    image = noise(30, 50)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture must be turned clockwise
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "turned.png"), np.rot90(image, -1))


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "1", "I;16"])
def test_every_pixel_mode_becomes_rgb(tmp_path, mode):
    """A white image stays white in whatever mode it is stored."""
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 30), 0xFFFF, np.uint16))
    else:
        image = Image.new("RGB", (30, 20), "white").convert(mode)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    image.save(path)
    loaded = load_image(path)
    assert loaded.shape == (20, 30, 3) and loaded.dtype == np.uint8
    assert (loaded == 255).all()


def test_sixteen_bit_greys_keep_their_brightness(tmp_path):
    Image.fromarray(np.full((9, 9), 0x8000, np.uint16)).save(tmp_path / "grey.png")
    assert (load_image(tmp_path / "grey.png") == 0x80).all()


def test_transparent_pixels_turn_white(tmp_path):
    Image.new("RGBA", (9, 9), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (load_image(tmp_path / "clear.png") == 255).all()


def test_float_pixels_are_refused_with_a_remedy(tmp_path):
    Image.fromarray(np.zeros((9, 9), np.float32)).save(tmp_path / "depth.tif")
    with pytest.raises(InputError, match=r"depth\.tif.*save it as 8-bit"):
        load_image(tmp_path / "depth.tif")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jpg: no such image file; check the path"):
        load_image(tmp_path / "nowhere.jpg")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp", "tif"])
@pytest.mark.parametrize("kept", [0, 3, 40, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path, kind, kept):
    path = tmp_path / f"cut.{kind}"
    Image.fromarray(noise(64, 64)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(InputError, match=rf"cut\.{kind}: cannot be read.*replace") as caught:
        load_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # Pillow also warns of what it then raises
@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "tif"])
def test_damaged_bytes_give_an_image_or_an_input_error(tmp_path, kind):
    path = tmp_path / f"damaged.{kind}"
    Image.fromarray(noise(32, 32)).save(path)
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(data)
        for place in rng.integers(0, min(len(data), 200), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            image = load_image(path)
        except InputError:
            continue
        assert image.dtype == np.uint8 and image.shape[-1] == 3
