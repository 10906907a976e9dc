"""Image files become the very patches that transformers' processor makes, or one clear error."""

import hashlib
import itertools
import json
import math
import os
import struct
import zlib

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from skinflow_jax.data import images
from skinflow_jax.data.images import (
    load_image,
    patchify,
    preprocessor_config,
    resize,
    smart_resize,
)
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VisionConfig
from skinflow_jax.models.pixels import patch_values

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
    assert patches.dtype == np.uint8 and patches.shape == (math.prod(grid), VISION.patch_pixels)
    values = jax.jit(patch_values, static_argnums=1)(patches[None], VISION)[0]
    np.testing.assert_allclose(values, expected["pixel_values"], rtol=0, atol=1e-6)


def test_resizing_a_resized_image_changes_nothing():
    """Records hold resized images: a processor that meets one again must leave it alone."""
    once = resize(noise(97, 611), **BUDGET)
    np.testing.assert_array_equal(resize(once, **BUDGET), once)


def test_a_resize_that_gives_other_pixels_has_another_version():
    """Records are taken for current by it. Pillow resizes 8 bits in integers, the same anywhere."""
    assert images.RESIZE_VERSION == 1
    resized = resize(noise(97, 211), min_pixels=3136, max_pixels=28 * 28 * 16)
    assert hashlib.sha256(resized.tobytes()).hexdigest()[:16] == "69024793738379b0"


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


RAMP = np.tile(np.linspace(0, 1, 64), (64, 1))


def png16(path, values, channels):
    """A 16-bit PNG of one to four equal channels (an alpha is opaque); Pillow only writes grey."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    planes = [values] * channels
    if channels in (2, 4):
        planes[-1] = np.full_like(values, 0xFFFF)
    rows = np.stack(planes, -1).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", *values.shape[::-1], 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(itertools.starmap(png_chunk, chunks)))
    return path


def png_chunk(kind, data):
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def tiff(path, samples, bits, *, photometric=1, tags=()):
    """An uncompressed little-endian grey TIFF of one strip; `samples` are its bytes, 64 x 64."""
    entries = [(256, 4, 64), (257, 4, 64), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 4, 64), (279, 4, len(samples)), *tags]
    data = b"II*\0" + struct.pack("<I", 8 + len(samples)) + samples
    data += struct.pack("<H", len(entries))
    for tag, kind, value in sorted(entries):
        data += struct.pack("<HHII", tag, kind, 1, value)
    path.write_bytes(data + bytes(4))
    return path


def twelve_bits(values):
    """Two samples in three bytes, as TIFF packs 12 bits."""
    flat = values.reshape(-1, 2).astype(int)
    first, second = flat[:, 0], flat[:, 1]
    packed = [first >> 4, (first & 15) << 4 | second >> 8, second & 255]
    return np.stack(packed, -1).astype(np.uint8).tobytes()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_16_bit_scene_keeps_its_brightness_in_every_kind_of_png(tmp_path, channels):
    path = png16(tmp_path / "deep.png", RAMP * 65535, channels)
    assert np.abs(load_image(path) - RAMP[..., None] * 255).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15])
def test_16_bit_files_that_may_hold_fewer_bits_are_refused(tmp_path, channels, bits):
    """They would come out dark, and a dark 16-bit photograph looks the same."""
    path = png16(tmp_path / "deep.png", RAMP * (2**bits - 1), channels)
    with pytest.raises(InputError, match=r"deep\.png: its 16-bit numbers end at .*save it"):
        load_image(path)


def test_an_8_bit_photograph_is_taken_as_it_is_however_dark(tmp_path):
    dark = np.arange(16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(dark).save(tmp_path / "dark.png")
    np.testing.assert_array_equal(load_image(tmp_path / "dark.png")[..., 0], dark)


@pytest.mark.parametrize("photometric", [0, 1])
def test_tiffs_of_12_and_16_stated_bits_are_scaled_by_them(tmp_path, photometric):
    """Photometric 0 means that 0 is white."""
    scene = RAMP if photometric else 1 - RAMP
    files = [tiff(tmp_path / "16.tif", (RAMP * 65535).astype("<u2").tobytes(), 16)]
    if photometric:
        files.append(tiff(tmp_path / "12.tif", twelve_bits(RAMP * 4095), 12))
    else:
        inverted = (RAMP * 65535).astype("<u2").tobytes()
        files = [tiff(tmp_path / "inverted.tif", inverted, 16, photometric=0)]
    for path in files:
        assert np.abs(load_image(path)[..., 0] - scene * 255).max() <= 1, path.name


def test_a_tiff_that_states_its_largest_value_still_does_not_say_what_white_is(tmp_path):
    """TIFF 6.0: MaxSampleValue is not to be used to affect the appearance of an image."""
    samples = (RAMP * 4095).astype("<u2").tobytes()
    with pytest.raises(InputError, match="numbers end at 4095"):
        load_image(tiff(tmp_path / "12in16.tif", samples, 16, tags=[(281, 3, 4095)]))


def test_a_deep_image_is_upright_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray((RAMP[:32] * 65535).astype(np.uint16))
    deep.save(tmp_path / "deep.png", exif=exif)
    assert load_image(tmp_path / "deep.png").shape == (64, 32, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("white", [0, 1, 255, 65535])
def test_32_bit_pixels_are_refused_with_a_remedy(tmp_path, dtype, white):
    Image.fromarray((RAMP * white).astype(dtype)).save(tmp_path / "depth.tif")
    with pytest.raises(InputError, match=r"depth\.tif: 32-bit numbers do not .*save it as 8-bit"):
        load_image(tmp_path / "depth.tif")


def test_a_file_that_is_no_photograph_starts_no_program(tmp_path, monkeypatch):
    """Pillow gives an EPS file to Ghostscript, whatever its name ends in."""
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\necho 10\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    header = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    (tmp_path / "lesion.jpg").write_text(header)
    with pytest.raises(InputError, match=r"lesion\.jpg: .*none of JPEG, PNG"):
        load_image(tmp_path / "lesion.jpg")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("kind", ["ppm", "ico", "tga", "pcx", "sgi", "jp2", "dds"])
def test_formats_that_are_not_listed_are_refused_under_any_name(tmp_path, kind):
    Image.fromarray(noise(32, 32)).save(tmp_path / f"image.{kind}")
    path = (tmp_path / f"image.{kind}").rename(tmp_path / "image.png")
    with pytest.raises(InputError, match=r"image\.png: .*none of JPEG, PNG"):
        load_image(path)


@pytest.fixture
def no_decoding(monkeypatch):
    def decode(*_):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)


@pytest.mark.parametrize("kind", ["png", "tif", "gif", "bmp"])
def test_the_size_is_read_from_the_header_before_anything_is_decoded(
    tmp_path, kind, monkeypatch, no_decoding
):
    Image.new("L", (120, 100)).save(tmp_path / f"large.{kind}")
    monkeypatch.setattr(images, "MOST_PIXELS", 11_999)
    with pytest.raises(InputError, match=r"120 x 100 pixels are more than 11,999; save it smaller"):
        load_image(tmp_path / f"large.{kind}")


@pytest.mark.parametrize("side", [11_000, 13_300, 100_000])
@pytest.mark.filterwarnings("error")
def test_a_decompression_bomb_is_one_line(tmp_path, side, no_decoding):
    """Below, between and above the sizes of which Pillow warns and which it refuses."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b""))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(InputError, match=r"bomb\.png: ") as caught:
        load_image(tmp_path / "bomb.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_png_whose_texts_swell_is_refused(tmp_path, kind):
    packed = zlib.compress(bytes(80 * 2**20))
    start = b"key\0\1\0\0\0" if kind == b"iTXt" else b"key\0\0"
    Image.new("RGB", (9, 9)).save(tmp_path / "text.png")
    data = (tmp_path / "text.png").read_bytes()
    (tmp_path / "text.png").write_bytes(data[:33] + png_chunk(kind, start + packed) + data[33:])
    with pytest.raises(InputError, match=r"text\.png: cannot be read"):
        load_image(tmp_path / "text.png")


def test_only_the_first_of_many_frames_is_decoded(tmp_path):
    frames = [Image.fromarray(noise(20, 30, seed)) for seed in range(40)]
    for kind in ("tif", "webp", "png", "gif"):
        path = tmp_path / f"many.{kind}"
        lossless = {"lossless": True} if kind == "webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **lossless)
        loaded = load_image(path)
        assert loaded.shape == (20, 30, 3)
        if kind != "gif":  # which has but 256 colours
            np.testing.assert_array_equal(loaded, noise(20, 30))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "huge.webp").open("wb") as file:
        file.write(b"RIFF\0\0\0\0WEBPVP8 ")
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"huge\.webp: larger than 1,024 MiB"):
        load_image(tmp_path / "huge.webp")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for path in (tmp_path / "pipe.jpg", tmp_path / "folder.jpg", "/dev/zero"):
        with pytest.raises(InputError, match="is a folder, pipe or device"):
            load_image(path)
    with pytest.raises(InputError, match="no such image file"):
        load_image("a\0b.jpg")


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
