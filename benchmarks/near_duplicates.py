"""What near-duplicate search finds of planted copies, what it links wrongly, and how long it takes.

    python benchmarks/near_duplicates.py --root FOLDER_OF_HAM10000 [--planted 500]

Planted copies of some images are searched among all images. Pairs of different lesions that are
linked are printed; look at them: some are the same photograph.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from PIL import Image
from planted_copies import COPIES

from skinflow_jax.data.images import load_image
from skinflow_jax.data.splitting.near_duplicates import near_duplicates, proposals
from skinflow_jax.data.splitting.signatures import Signature, signature


def recall(images: list[np.ndarray], originals: list[Signature]) -> None:
    """Print the share of copies of each kind that are linked to their original."""
    for name, copy in COPIES.items():
        copies = [signature(np.asarray(copy(Image.fromarray(image)))) for image in images]
        pairs = {(pair.i, pair.j) for pair in near_duplicates([*originals, *copies])}
        found = sum((k, len(originals) + k) in pairs for k in range(len(originals)))
        print(f"  {name:24s} {found} of {len(originals)}, {found / len(originals):.1%}", flush=True)


def components(pairs: list[tuple[int, int]]) -> list[int]:
    """Sizes of what the pairs connect, largest first."""
    root: dict[int, int] = {}

    def find(index: int) -> int:
        while root.setdefault(index, index) != index:
            index = root[index]
        return index

    for first, second in pairs:
        root[find(first)] = find(second)
    _, sizes = np.unique([find(index) for index in root], return_counts=True)
    return sorted(sizes.tolist(), reverse=True)


def main() -> None:
    """Print recall, false links, the largest component and seconds of one core."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--planted", type=int, default=500)
    arguments = parser.parse_args()
    with (arguments.root / "HAM10000_metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    start = time.perf_counter()
    images = [load_image(arguments.root / "images" / f"{row['image_id']}.jpg") for row in rows]
    decoded = time.perf_counter()
    signatures = [signature(image) for image in images]
    print(f"decode {decoded - start:.1f} s, signatures {time.perf_counter() - decoded:.1f} s")
    start = time.process_time()
    pairs = near_duplicates(signatures)
    print(f"{len(rows):,} images: {len(pairs):,} pairs in {time.process_time() - start:.1f} s")
    different = [p for p in pairs if rows[p.i]["lesion_id"] != rows[p.j]["lesion_id"]]
    for pair in different:
        names = [f"{rows[k]['image_id']} {rows[k]['dx']}" for k in (pair.i, pair.j)]
        print(f"  different lesions: {', '.join(names)}: {pair.correlation:.3f}")
    for what, some in (("all", pairs), ("different lesions", different)):
        print(f"largest components, {what}: {components([(p.i, p.j) for p in some])[:5]}")
    hashes = np.random.default_rng(0).choice(np.stack([s.hashes for s in signatures]), 17_000)
    start = time.process_time()
    count = sum(len(i) for _, i, _ in proposals(hashes))
    print(f"17,000 hashes: {count:,} proposals in {time.process_time() - start:.1f} s")
    planted = np.random.default_rng(0).choice(len(images), arguments.planted, replace=False)
    print("planted copies found:")
    recall([images[k] for k in planted], [signatures[k] for k in planted])


if __name__ == "__main__":
    main()
