"""How an image becomes patches, as the processor files beside a model state it.

All but the pixel budget must be what `data.images` computes. A model must see images of the size
it was trained on, so the budget travels with it: into a run's workdir and into an export.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from skinflow_jax.data.images import preprocessor_config
from skinflow_jax.errors import InputError
from skinflow_jax.json_file import FieldTable, read_json, write_json
from skinflow_jax.models.config import VisionConfig
from skinflow_jax.models.pixels import CLIP_MEAN, CLIP_STD
from skinflow_jax.storage.paths import is_file
from skinflow_jax.typed_fields import Whole

PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
"""Transformers 5 writes this one, with the image processor in it, and reads it first."""

PIXELS = Annotated[int, Whole(1)] | None
_CLASSES = ("Qwen2_5_VLProcessor", "Qwen2VLProcessor")
_KINDS = (
    *("Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast", "Qwen2VLImageProcessorPil"),
    *("Qwen2_5_VLImageProcessor", "Qwen2_5_VLImageProcessorFast"),
)


@dataclass(frozen=True)
class PixelBudget:
    """Least and most pixels that an image is resized to."""

    min_pixels: int
    max_pixels: int


_WHOLE = FieldTable(
    read={"image_processor": Any},
    fixed={
        "processor_class": (*_CLASSES, None),
        "image_token": ("<|image_pad|>", None),
        "video_token": ("<|video_pad|>", None),
        "auto_map": (None,),
    },
    # Videos are not taken.
    harmless={"video_processor": dict[str, Any]},
)
_SIZE = FieldTable(
    read=dict.fromkeys(("shortest_edge", "longest_edge", "min_pixels", "max_pixels"), PIXELS)
)


def _images(vision: VisionConfig) -> FieldTable:
    return FieldTable(
        read={"size": Any, "min_pixels": PIXELS, "max_pixels": PIXELS},
        fixed={
            "patch_size": (vision.patch_size,),
            "temporal_patch_size": (vision.temporal_patch_size,),
            "merge_size": (vision.merge_size,),
            "image_mean": (list(CLIP_MEAN),),
            "image_std": (list(CLIP_STD),),
            "rescale_factor": (1 / 255,),
            "resample": (3,),  # bicubic
            **dict.fromkeys(("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"), (True,)),
            **dict.fromkeys(("do_center_crop", "do_pad"), (False, None)),
            "image_processor_type": (*_KINDS, None),
            "processor_class": (*_CLASSES, None),
            "auto_map": (None,),
        },
        # Of what is not done (crops, padding), and how arrays are passed around.
        harmless=dict.fromkeys(
            (
                *("crop_size", "pad_size", "default_to_square", "data_format"),
                *("input_data_format", "device", "disable_grouping", "return_tensors"),
                *("feature_extractor_type", "image_seq_length", "video_processor_type"),
                "_processor_class",
            ),
            Any,
        ),
    )


# What transformers takes where the file is silent.
_DEFAULTS = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}


def read_pixel_budget(folder: Path, vision: VisionConfig) -> PixelBudget | None:
    """The budget stated in a run's workdir or a Hugging Face folder; None where there is no file.

    Transformers 5 writes it as `size`, earlier releases as `min_pixels` and `max_pixels`. Raises
    InputError when a file states another processing than ours, or no budget.
    """
    found = None
    for name in (PREPROCESSOR, PROCESSOR):
        if not is_file(folder / name):
            continue
        path, group = folder / name, ""
        stated = read_json(path)
        if name == PROCESSOR:
            stated, group = _WHOLE.checked(stated, path).get("image_processor"), "image_processor."
            if stated is None:
                continue
        found = _budget(stated, vision, path, group)
    return found


def _budget(stated: Any, vision: VisionConfig, path: Path, group: str) -> PixelBudget:
    if isinstance(stated, Mapping):
        stated = _DEFAULTS | stated
    images = _images(vision).checked(stated, path, group)
    size = _SIZE.checked(images.get("size") or {}, path, f"{group}size.")
    least = images.get("min_pixels") or size.get("shortest_edge") or size.get("min_pixels")
    most = images.get("max_pixels") or size.get("longest_edge") or size.get("max_pixels")
    if least is None or most is None or least > most:
        raise InputError(
            f"{path} states no min_pixels and max_pixels, the former at most the latter ({least} "
            f"and {most}): fetch the file again, or remove it and give --max-pixels"
        )
    return PixelBudget(least, most)


def write_pixel_budget(folder: Path, budget: PixelBudget, vision: VisionConfig) -> None:
    """Write the file into a run's workdir, as an export has it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = preprocessor_config(budget.min_pixels, budget.max_pixels, vision)
    write_json(folder / PREPROCESSOR, content)


def processor_files(
    budget: PixelBudget, vision: VisionConfig, source: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The processor's files of an export, by name.

    `source`: the files of the folder that the model descends from, whose other fields stay.
    """
    images = preprocessor_config(budget.min_pixels, budget.max_pixels, vision)
    size = {"shortest_edge": budget.min_pixels, "longest_edge": budget.max_pixels}
    before = dict(source.get(PREPROCESSOR, {}))
    if "size" in before:
        before["size"] = size
    files = {PREPROCESSOR: {**images, **before, **images}}
    if PROCESSOR in source:
        files[PROCESSOR] = dict(source[PROCESSOR])
        nested = files[PROCESSOR].get("image_processor")
        if nested is not None:
            kept = {k: v for k, v in nested.items() if k not in ("min_pixels", "max_pixels")}
            files[PROCESSOR]["image_processor"] = {**kept, "size": size}
    return files
