"""Degraded images: level 0 changes nothing, each level changes more, the same case the same way."""

import numpy as np
import pytest

from skinflow_jax.data.degradation import (
    DEGRADATIONS,
    DegradedRecords,
    degraded,
    with_clutter,
    with_degradation,
)
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import build_records
from skinflow_jax.data.sources import ProceduralSource

LEVELS = range(5)
BUDGET = {"min_pixels": 56 * 56, "max_pixels": 84 * 84}


def source(clutter=0.0):
    return ProceduralSource(split="heldout", seed=3, count=5, image_size=112, clutter=clutter)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "drawn"
    build_records(source(), folder, fingerprint={}, **BUDGET)
    return RecordSet(folder)


def distance(image, other):
    return np.sqrt(np.mean(np.square(image.astype(float) - other.astype(float))))


def images_of(records):
    return [image for record in records for image in record.images]


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_level_0_is_the_image_and_each_level_is_further_from_it(records, name):
    own, far = images_of(records), []
    for level in LEVELS:
        images = images_of(with_degradation(records, name, level))
        far.append(np.mean(list(map(distance, images, own))))
    assert far[0] == 0 and far == sorted(far) and len(set(far)) == len(far), far


def test_more_clutter_is_further_from_the_bare_drawing(records):
    far = []
    for clutter in (0.0, 0.25, 0.5, 0.75, 1.0):
        images = images_of(with_clutter(records, source(), clutter, **BUDGET))
        far.append(np.mean(list(map(distance, images, images_of(records)))))
    assert far[0] == 0 and far == sorted(far) and len(set(far)) == len(far)


def test_clutter_leaves_all_but_the_image_as_it_was_and_is_what_a_build_would_draw(
    records, tmp_path
):
    build_records(source(1.0), tmp_path / "cluttered", fingerprint={}, **BUDGET)
    found = with_clutter(records, source(), 1.0, **BUDGET)
    for record, own, built in zip(found, records, RecordSet(tmp_path / "cluttered"), strict=True):
        assert record.case == own.case
        np.testing.assert_array_equal(record.images[0], built.images[0])
    chosen = records.select([3, 1])
    [first, _] = with_clutter(chosen, source(), 1.0, **BUDGET)
    np.testing.assert_array_equal(first.images[0], found[3].images[0])


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_it_goes_by_the_case_alone_and_keeps_size_and_type(name, level):
    rng = np.random.default_rng(0)
    for shape in ((31, 57, 3), (1, 1, 3), (1, 40, 3), (40, 1, 3), (2, 3, 3)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        before = image.copy()
        image.setflags(write=False)  # as those of records are
        found = degraded(image, name, level, "case é\ud800")
        assert found.shape == shape and found.dtype == np.uint8
        np.testing.assert_array_equal(found, degraded(image, name, level, "case é\ud800"))
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_grey_stays_grey_and_plain_stays_plain(name):
    grey = np.repeat(np.random.default_rng(1).integers(0, 256, (28, 56, 1), np.uint8), 3, axis=2)
    plain = np.full((28, 28, 3), 130, np.uint8)
    for level in LEVELS:
        found = degraded(grey, name, level, "a").astype(int)
        assert np.ptp(found, axis=2).max() == 0
        assert np.ptp(degraded(plain, name, level, "a")) == 0


def test_two_cases_are_cropped_elsewhere_but_never_far_from_the_middle():
    rows = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 200, 3)).copy()
    middles = [degraded(rows, "crop", 4, f"case {n}")[100, 0, 0] for n in range(30)]
    assert len(set(middles)) > 10
    assert all(abs(int(middle) - 100) <= 28 for middle in middles)  # a quarter of the 55 % cut off
    assert abs(np.mean(middles) - 100) < 14


def test_exposure_doubles_the_light():
    grey = np.full((4, 4, 3), 100, np.uint8)  # a linear 0.127
    assert degraded(grey, "brighter", 2, "")[0, 0, 0] == 138  # 0.254
    assert degraded(grey, "darker", 2, "")[0, 0, 0] == 71  # 0.064
    assert degraded(np.full((4, 4, 3), 200, np.uint8), "brighter", 4, "").min() == 255


def test_all_but_the_images_is_that_of_the_records(records):
    found = with_degradation(records, "blur", 2)
    assert isinstance(found, DegradedRecords) and len(found) == len(records)
    assert found.schema == records.schema and found.diagnoses == records.diagnoses
    assert [found.sizes(n) for n in range(5)] == [(x.shape[:2],) for x in images_of(found)]
    [last] = found.select([4])
    np.testing.assert_array_equal(last.images[0], found[4].images[0])
