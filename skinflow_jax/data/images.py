"""An image file on its way to the vision tower: decode, orient, resize, cut into patches.

Sizes, filter and figures are those of Qwen2.5-VL's image processor (`preprocessor_config.json` of
Qwen/Qwen2.5-VL-7B-Instruct), so that an exported model sees the same pixels under transformers.
"""

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from skinflow_jax.data.bit_depth import stated_depth, to_8_bits
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VisionConfig
from skinflow_jax.models.pixels import CLIP_MEAN, CLIP_STD

LONGEST_RATIO = 200
RESIZE_VERSION = 1
"""Of all that leads from a file to resized pixels; raise it when they change."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
MOST_PIXELS = 120_000_000
"""Of the largest cameras (108 million on phones); Pillow warns at 89 million, refuses at 179."""
MOST_BYTES = 2**30
_HEIF_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}

# What Pillow warns of is either refused here (sizes) or harmless (an EXIF block it cannot read).
warnings.filterwarnings("ignore", module=r"PIL\.")


def load_image(path: str | Path, *, opaque: bool = False) -> np.ndarray:
    """Decode an image file into uint8 `[H, W, 3]`, upright by its EXIF orientation.

    Transparent pixels turn white, deep images are scaled to 8 bits (see `bit_depth`), an animation
    gives its first frame. Only the formats of photographs are opened, whatever the file is called:
    Pillow knows others that start programs. The size is read from the header before decoding.

    Raises:
      InputError: missing, unreadable, truncated or too large file; another format; more than 8
        bits a sample without a known range; transparent somewhere where it has to be `opaque`.
    """
    path = Path(path)
    with _named(path):
        if not path.is_file():
            wrong = "is a folder, pipe or device" if path.exists() else "no such image file"
            raise InputError(f"{wrong}; check the path or the table that names it")
        with path.open("rb") as file:
            return _decode(file, opaque)


def load_image_bytes(data: bytes, name: str, *, opaque: bool = False) -> np.ndarray:
    """`load_image` of a file's bytes, such as a table holds; `name` says where, for messages."""
    with _named(name):
        return _decode(io.BytesIO(data), opaque)


@contextlib.contextmanager
def _named(name: str | Path) -> Iterator[None]:
    """Whatever goes wrong in the block leaves it as one line of InputError with `name` in front."""
    # The decoders of Pillow and its plugins raise almost anything on a damaged file: OSError,
    # SyntaxError, ValueError, struct.error, DecompressionBombError.
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name}: cannot be read as an image (it is none of {', '.join(FORMATS)}); "
            "replace the file or remove its entry"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{name}: cannot be read as an image ({reason}); replace the file or remove its entry"
        ) from error


def _decode(file: BinaryIO, opaque: bool) -> np.ndarray:
    # Some plugins read the whole file before they look at its header.
    if file.seek(0, io.SEEK_END) > MOST_BYTES:
        raise InputError(f"larger than {MOST_BYTES >> 20:,} MiB; save it smaller")
    file.seek(0)
    _refuse_heif(file.read(12))
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise InputError(
                f"{width:,} x {height:,} pixels are more than {MOST_PIXELS:,}; save it smaller"
            )
        depth = stated_depth(image, file)
        # In place: the copies that Pillow would make otherwise take a third of the time.
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(_to_rgb(to_8_bits(image, depth), opaque))


def _refuse_heif(start: bytes) -> None:
    """Telephones write this container; Pillow does not read it, and the person should know why."""
    kind = _HEIF_BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None
    if kind:
        raise InputError(f"{kind} images are not read; save it as JPEG or PNG")


def _to_rgb(image: Image.Image, opaque: bool) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if opaque and image.getextrema()[3][0] < 255:
            raise InputError("is transparent in places; save it without transparency")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def smart_resize(
    height: int, width: int, *, factor: int = 28, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Height and width in multiples of `factor` whose product lies in the pixel budget.

    The aspect ratio is kept as nearly as multiples allow; a side never falls below `factor`, even
    where that exceeds the budget. As `smart_resize` of transformers' image_processing_qwen2_vl.py.

    Raises:
      InputError: one side is more than 200 times the other.
    """
    if max(height, width) > LONGEST_RATIO * min(height, width):
        raise InputError(
            f"an image of {height}x{width} pixels is more than {LONGEST_RATIO} times as long as "
            "it is wide; crop it"
        )
    sides = height, width
    nearest = [round(side / factor) * factor for side in sides]
    if math.prod(nearest) > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        nearest = [max(factor, math.floor(side / shrink / factor) * factor) for side in sides]
    elif math.prod(nearest) < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        nearest = [math.ceil(side * grow / factor) * factor for side in sides]
    return nearest[0], nearest[1]


def resize(image: np.ndarray, *, min_pixels: int, max_pixels: int, factor: int = 28) -> np.ndarray:
    """Resize uint8 `[H, W, 3]` to its `smart_resize` size, bicubic, still uint8."""
    height, width = smart_resize(
        *image.shape[:2], factor=factor, min_pixels=min_pixels, max_pixels=max_pixels
    )
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize bool `[H, W]` to `size`; a pixel is True where most of what it covers is."""
    levels = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(levels.resize(size[::-1], Image.Resampling.BOX)) > 127


def patchify(image: np.ndarray, vision: VisionConfig) -> tuple[np.ndarray, tuple[int, int]]:
    """Patches in processor order and the grid (rows, columns) they form.

    Args:
      image: uint8 `[H, W, 3]`, sides multiples of patch_size * merge_size.
      vision: sizes of the patches.

    Returns:
      uint8 `[rows * columns, patch_pixels]`, 2x2 block by 2x2 block, each patch laid out as
      channel, row, column. The tower normalises them (`models.pixels`).
    """
    p, m = vision.patch_size, vision.merge_size
    height, width, channels = image.shape
    if height % (p * m) or width % (p * m):
        raise InputError(f"image of {height}x{width} pixels: resize to multiples of {p * m} first")
    rows, columns = height // p, width // p
    blocks = image.reshape(rows // m, m, p, columns // m, m, p, channels)
    patches = blocks.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, vision.patch_pixels)
    return patches, (rows, columns)


def preprocessor_config(min_pixels: int, max_pixels: int, vision: VisionConfig) -> dict:
    """What `preprocessor_config.json` of an exported model holds."""
    return {
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "merge_size": vision.merge_size,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    }
