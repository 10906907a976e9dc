"""How large an image may be: `preprocessor_config.json` beside a model, in a run and in an export.

A model must see images of the size it was trained on, so its budget travels with it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from skinflow_jax.data.images import preprocessor_config
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VisionConfig
from skinflow_jax.storage.paths import is_file

_FILE = "preprocessor_config.json"


@dataclass(frozen=True)
class PixelBudget:
    """Least and most pixels that an image is resized to."""

    min_pixels: int
    max_pixels: int


def read_pixel_budget(folder: Path) -> PixelBudget | None:
    """The budget stated in a run's workdir or a Hugging Face folder; None where there is no file.

    Transformers 5 writes it as `size`, earlier releases as `min_pixels` and `max_pixels`. Raises
    InputError when the file states neither.
    """
    path = folder / _FILE
    if not is_file(path):
        return None
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        if "max_pixels" in stated:
            return PixelBudget(int(stated["min_pixels"]), int(stated["max_pixels"]))
        size = stated["size"]
        return PixelBudget(int(size["shortest_edge"]), int(size["longest_edge"]))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} states no min_pixels and max_pixels ({type(error).__name__}: {error}): "
            "fetch the file again, or remove it and give --max-pixels"
        ) from error


def write_pixel_budget(folder: Path, budget: PixelBudget, vision: VisionConfig) -> None:
    """Write the file into a run's workdir, as an export has it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = preprocessor_config(budget.min_pixels, budget.max_pixels, vision)
    (folder / _FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
