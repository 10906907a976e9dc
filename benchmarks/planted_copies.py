"""Copies of an image as people and web sites make them, for near-duplicate search to find."""

import io
from collections.abc import Callable

from PIL import Image, ImageEnhance


def jpeg(image: Image.Image) -> Image.Image:
    """At quality 50."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(file).convert("RGB")


def crop(left: float, top: float, right: float, bottom: float) -> Callable:
    """Without these parts of the width and height."""

    def cropped(image: Image.Image) -> Image.Image:
        width, height = image.size
        box = (left * width, top * height, width - right * width, height - bottom * height)
        return image.crop(tuple(round(edge) for edge in box))

    return cropped


def brightness(factor: float) -> Callable:
    """Multiplied by `factor`."""
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


COPIES: dict[str, Callable] = {
    "JPEG q 50": jpeg,
    "half size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "flipped": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "270°": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "brightness 0.9": brightness(0.9),
    "brightness 1.1": brightness(1.1),
    "crop 2.5 % each side": crop(0.025, 0.025, 0.025, 0.025),
    "crop 5 % each side": crop(0.05, 0.05, 0.05, 0.05),
    "crop 5 % left and top": crop(0.05, 0.05, 0, 0),
    "crop 5 % right and top": crop(0, 0.05, 0.05, 0),
    "crop 5 % left": crop(0.05, 0, 0, 0),
    "crop, rotated, JPEG": lambda image: jpeg(
        crop(0.02, 0.03, 0.03, 0.02)(image).transpose(Image.Transpose.ROTATE_90)
    ),
}
