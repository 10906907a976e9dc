"""How much of a batch is padding: planned buckets, batches of any and of like sizes.

python benchmarks/padding.py --data=../shared/data

The sizes are those of the files of HAM10000 and PAD-UFES-20 (data/ham10000/images, …), and sizes
drawn as Fitzpatrick17k's are: median 455 x 382, sides from 85 to 3,080 pixels. Two prompts an
image, with 46 and 96 tokens of text, about those of the two tasks.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from skinflow_jax.data.bucket_plan import padding, plan_buckets
from skinflow_jax.data.buckets import Needs
from skinflow_jax.data.images import smart_resize
from skinflow_jax.data.sampling import like_sizes, shuffled, size_classes
from skinflow_jax.models.config import VisionConfig, model_config
from skinflow_jax.models.inputs import token_count, window_count

TEXTS = (46, 96)


def stored_sizes(data: Path) -> list[tuple[int, int]]:
    """Height and width of each file."""
    sizes = []
    for folder in ("ham10000", "pad_ufes_20"):
        for path in sorted((data / folder / "images").iterdir()):
            with Image.open(path) as image:
                sizes.append(image.size[::-1])
    return sizes


def drawn_sizes(count: int) -> list[tuple[int, int]]:
    """Height and width, log-normal."""
    rng = np.random.default_rng(0)
    wide = np.exp(rng.normal(np.log(455), 0.45, count))
    tall = wide * np.exp(rng.normal(np.log(382 / 455), 0.3, count))
    return np.stack([tall, wide], axis=1).clip(85, 3080).astype(int).tolist()


def row(name: str, sizes, max_pixels: int, batch_size: int, vision: VisionConfig) -> Sequence[str]:
    """Of the table: buckets and shares."""
    grids = [
        [side // 14 for side in smart_resize(*size, min_pixels=56**2, max_pixels=max_pixels)]
        for size in sizes
    ]
    needs = [
        Needs(token_count(grid, vision) + text, window_count(grid, vision), 1)
        for grid in grids
        for text in TEXTS
    ]
    buckets = plan_buckets(needs, 64)
    plain = shuffled(len(needs), 0)
    alike = like_sizes(plain, size_classes(needs, buckets), batch_size, seed=0)
    shares = [
        padding([needs[order(place)] for place in range(len(needs))], batch_size, buckets)
        for order in (plain, alike)
    ]
    filled = sum(rows * columns for rows, columns in grids) / vision.window_patches
    edges = 1 - filled / sum(window_count(grid, vision) for grid in grids)
    return (
        *(name, f"{max_pixels:,}", str(len(buckets.prompt_lengths)), str(len(buckets.windows))),
        *(f"{share.tokens:.1%}" for share in shares),
        *(f"{share.windows:.1%}" for share in shares),
        f"{edges:.1%}",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=32)
    chosen = parser.parse_args()
    sets = {
        "HAM10000 + PAD-UFES-20": stored_sizes(chosen.data),
        "drawn as Fitzpatrick17k": drawn_sizes(16_577),
    }
    table = Table(title=f"batches of {chosen.batch_size}")
    table.add_column("sizes")
    for title in ("most pixels", "lengths", "window counts"):
        table.add_column(title, justify="right")
    for title in ("tokens, mixed", "alike", "windows, mixed", "alike", "edges of images"):
        table.add_column(title, justify="right")
    vision = model_config("tiny").vision
    for name, sizes in sets.items():
        for max_pixels in (224**2, 448**2, 1280 * 28**2):
            table.add_row(*row(name, sizes, max_pixels, chosen.batch_size, vision))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
