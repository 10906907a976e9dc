"""Where images come from; every source offers the same numbered cases (see `case`)."""

from pathlib import Path
from typing import Any

from skinflow_jax.data.sources.case import Caption, Case, Source
from skinflow_jax.data.sources.pad_ufes_20 import PadUfes20Source
from skinflow_jax.data.sources.procedural import ProceduralSource
from skinflow_jax.errors import ConfigError

__all__ = ["SOURCES", "Caption", "Case", "Source", "make_source"]

SOURCES = ("procedural", "pad_ufes_20")


def make_source(
    name: str,
    *,
    split: str,
    seed: int,
    data_root: str | Path | None = None,
    count: int | None = None,
    **options: Any,
) -> Source:
    """One split of a source by name.

    Args:
        name: "procedural" or "pad_ufes_20".
        split: "warmup", "rl" or "heldout"; they share no group.
        seed: of the drawing, or of the split.
        data_root: the folder of a source that is on disk.
        count: number of cases (procedural: needed; on disk: at most).
        options: procedural only: `image_size` (pixels), `clutter` (0 to 1).

    Raises ConfigError naming the choices on an unknown name or option, InputError on bad files.
    """
    if name == "procedural":
        unknown = sorted(set(options) - {"image_size", "clutter"})
        if unknown or count is None:
            problem = f"unknown option {unknown[0]!r}" if unknown else "count is missing"
            raise ConfigError(
                f"procedural source: {problem}; it takes count, image_size and clutter"
            )
        return ProceduralSource(split=split, seed=seed, count=count, **options)
    if name == "pad_ufes_20":
        if options:
            raise ConfigError(
                f"pad_ufes_20 source: unknown option {min(options)!r}; it takes data_root and count"
            )
        if data_root is None:
            raise ConfigError("pad_ufes_20 source: give the folder of its files as --data-root")
        return PadUfes20Source(data_root=data_root, split=split, seed=seed, count=count)
    raise ConfigError(f"unknown source {name!r}; choose from {', '.join(SOURCES)}")
