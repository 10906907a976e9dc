"""Claims about images that stand in tables, and about the forms in which telephones send them."""

import io

import numpy as np
import pytest
from PIL import Image

from skinflow_jax.data.images import load_image, load_image_bytes
from skinflow_jax.errors import InputError


def scene(height=24, width=32):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 9, columns * 7, rows + columns], -1).astype(np.uint8)


def encoded(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


KINDS = {
    "RGB png": encoded(Image.fromarray(scene()), "PNG"),
    "CMYK jpeg": encoded(Image.fromarray(scene()).convert("CMYK"), "JPEG", quality=95),
    "palette png": encoded(Image.fromarray(scene()).quantize(64), "PNG"),
    "gif": encoded(Image.fromarray(scene()).quantize(64), "GIF"),
    "webp": encoded(Image.fromarray(scene()), "WEBP", lossless=True),
    "grey jpeg": encoded(Image.fromarray(scene()[..., 0]), "JPEG", quality=95),
    "alpha webp": encoded(Image.fromarray(scene()).convert("RGBA"), "WEBP", lossless=True),
    "one pixel": encoded(Image.new("RGB", (1, 1), "red"), "PNG"),
    "20,000 x 20": encoded(Image.new("RGB", (20_000, 20), "red"), "PNG"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_decode_as_the_file_does(tmp_path, kind):
    (tmp_path / "image.any").write_bytes(KINDS[kind])
    image = load_image_bytes(KINDS[kind], "row 3")
    assert image.dtype == np.uint8 and image.shape[2] == 3
    np.testing.assert_array_equal(image, load_image(tmp_path / "image.any"))


@pytest.mark.parametrize("kind", ["CMYK jpeg", "webp", "alpha webp", "RGB png"])
def test_colours_stay_what_they_were(kind):
    """A CMYK file from a camera's software must not come out as its negative."""
    difference = load_image_bytes(KINDS[kind], "x").astype(int) - scene()
    assert np.abs(difference).mean() < 12, kind


def test_bytes_are_upright_by_their_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(scene()), "PNG", exif=exif)
    np.testing.assert_array_equal(load_image_bytes(data, "x"), np.rot90(scene(), -1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "none of JPEG"),
        (b"a text that was named lesion.jpg", "none of JPEG"),
        (KINDS["CMYK jpeg"][:200], "cannot be read as an image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC images are not read; save it as JPEG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF images are not read; save it as JPEG"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "none of JPEG"),
    ],
)
def test_what_is_no_image_is_one_line_that_says_where(tmp_path, data, reason):
    path = tmp_path / "lesion.jpg"
    path.write_bytes(data)
    loads = {"row 3": lambda: load_image_bytes(data, "row 3"), path: lambda: load_image(path)}
    for name, load in loads.items():
        with pytest.raises(InputError, match=reason) as caught:
            load()
        assert str(caught.value).startswith(f"{name}: ")
        assert "\n" not in str(caught.value)
