"""Planned buckets are the best of their number, and batches of like sizes are little padded."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skinflow_jax.data.bucket_plan import padding, plan_buckets
from skinflow_jax.data.buckets import Buckets, Needs
from skinflow_jax.data.images import smart_resize
from skinflow_jax.data.sampling import like_sizes, shuffled, size_classes
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.inputs import token_count, window_count

DATA = os.environ.get("SKINFLOW_TEST_DATA")
BATCH = 16


def best_by_trying(sizes, count):
    """The least that `count` of the sizes, the largest among them, make of all."""
    values = sorted(set(sizes))
    choices = itertools.combinations(values[:-1], count - 1)
    return min(sum(min(v for v in (*c, values[-1]) if v >= s) for s in sizes) for c in choices)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("most", [0.08, 0.15, 0.3])
def test_no_fewer_buckets_would_do_and_none_of_their_number_pad_less(seed, most):
    sizes = np.random.default_rng(seed).integers(1, 20, size=30).tolist()
    chosen = plan_buckets([Needs(s, 5, 1) for s in sizes], 8, most_padding=most).prompt_lengths
    made = sum(min(v for v in chosen if v >= s) for s in sizes)
    assert made == best_by_trying(sizes, len(chosen))
    assert 1 - sum(sizes) / made <= most
    if len(chosen) > 1:
        assert 1 - sum(sizes) / best_by_trying(sizes, len(chosen) - 1) > most


def test_the_plan_holds_all_and_keeps_what_it_is_told():
    needs = [Needs(40, 4, 1), Needs(90, 9, 2), Needs(41, 4, 1)]
    assert plan_buckets(needs, 24) == Buckets((41, 90), (4, 9), 24, (1, 2))
    assert plan_buckets(needs, 24, most_padding=0.5) == Buckets((90,), (9,), 24, (1, 2))
    with pytest.raises(ConfigError, match=r"12 prompt lengths pad \d+%, more than 1%"):
        plan_buckets([Needs(length, 4, 1) for length in range(1, 200)], 24, most_padding=0.01)


def test_padding_is_what_batches_make_over_what_is_needed():
    needs = [Needs(30, 4, 1), Needs(60, 2, 1), Needs(50, 9, 2)]
    found = padding(needs, 2, Buckets((60, 100), (4, 10), 8, (1, 2)))
    assert found.tokens == pytest.approx(1 - 140 / (120 + 60))
    assert found.windows == pytest.approx(1 - (4 + 2 + 18) / (8 + 20))


def needs_of(sizes, config, max_pixels):
    """Two prompts an image, of 46 and 96 tokens beside it, about those of the two tasks."""
    grids = [
        [side // 14 for side in smart_resize(*size, min_pixels=56**2, max_pixels=max_pixels)]
        for size in sizes
    ]
    vision = config.vision
    return [
        Needs(token_count(grid, vision) + text, window_count(grid, vision), 1)
        for grid in grids
        for text in (46, 96)
    ]


def in_batches(needs, buckets, run):
    order = shuffled(len(needs), 3)
    if run:
        order = like_sizes(order, size_classes(needs, buckets), run, seed=0)
    return padding([needs[order(place)] for place in range(len(needs))], BATCH, buckets)


@pytest.mark.parametrize("max_pixels", [224**2, 448**2, 1280 * 28**2])
def test_sizes_as_fitzpatrick17k_has_them_are_padded_less_than_15_percent(config, max_pixels):
    """Median 455 x 382, sides from 85 to 3,080 pixels; in shuffled batches it would be more."""
    rng = np.random.default_rng(0)
    wide = np.exp(rng.normal(np.log(455), 0.45, 3000))
    tall = wide * np.exp(rng.normal(np.log(382 / 455), 0.3, 3000))
    sizes = np.stack([tall, wide], axis=1).clip(85, 3080).astype(int).tolist()
    needs = needs_of(sizes, config, max_pixels)
    buckets = plan_buckets(needs, 64)
    mixed, alike = (in_batches(needs, buckets, run) for run in (0, BATCH))
    assert alike.tokens < 0.15 < mixed.tokens
    assert alike.windows < 0.15 < mixed.windows


@pytest.mark.skipif(not DATA, reason="SKINFLOW_TEST_DATA names no folder of photographs")
@pytest.mark.parametrize("max_pixels", [224**2, 448**2])
def test_ham10000_with_pad_ufes_20_is_padded_less_than_15_percent(config, max_pixels):
    sizes = []
    for name in ("ham10000", "pad_ufes_20"):
        for path in sorted((Path(DATA) / "data" / name / "images").iterdir()):
            with Image.open(path) as image:
                sizes.append(image.size[::-1])
    assert len(sizes) == 10_015 + 235
    needs = needs_of(sizes, config, max_pixels)
    buckets = plan_buckets(needs, 64)
    mixed, alike = (in_batches(needs, buckets, run) for run in (0, BATCH))
    assert alike.tokens < 0.15 < mixed.tokens
    assert alike.windows < 0.15
