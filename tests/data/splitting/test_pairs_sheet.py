"""Claims about the picture of near-duplicates."""

import numpy as np
import pytest

from skinflow_jax.data.splitting.pairs_sheet import pairs_sheet
from skinflow_jax.data.splitting.splits import Link, SplitCase

CASES = {
    name: SplitCase("own", name.removeprefix("own/"), "a patient with a very long name " * 5)
    for name in ("own/a", "own/b", "own/写真\x1b[31m")
}
COLOURS = {"own/a": (0, 0, 255), "own/b": (0, 255, 0), "own/写真\x1b[31m": (0, 255, 255)}


def load(name: str) -> np.ndarray:
    return np.full((30, 40, 3), COLOURS[name], np.uint8)


def link(first: str, second: str, *labels: str) -> Link:
    return Link(first, second, labels, 0.97)


def count(image, colour) -> int:
    return int((np.asarray(image) == colour).all(-1).sum())


def test_both_images_of_each_pair_are_shown():
    links = [link("own/a", "own/b", "x", "x")] * 3 + [link("own/b", "own/写真\x1b[31m", "", "")]
    sheet = pairs_sheet(links, CASES, load)
    area = 192 * 144  # 40 by 30 made as wide as the place for it
    assert count(sheet, (0, 0, 255)) == 3 * area
    assert count(sheet, (0, 255, 0)) == 4 * area
    assert count(sheet, (0, 255, 255)) == area


@pytest.mark.parametrize(
    ("labels", "red"), [(("x", "x"), False), (("x", ""), False), (("x", "y"), True)]
)
def test_contradicting_labels_are_red(labels, red):
    pixels = np.asarray(pairs_sheet([link("own/a", "own/b", *labels)], CASES, load)).astype(int)
    reddish = (pixels[..., 0] > pixels[..., 1] + 50) & (pixels[..., 0] > pixels[..., 2] + 50)
    assert reddish.any() == red


def test_no_pairs_give_an_empty_sheet():
    assert np.asarray(pairs_sheet([], CASES, load)).min() == 255
