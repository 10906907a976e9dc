"""Claims about near-duplicates: planted copies are found, what merely looks alike is not linked."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from skinflow_jax.data.images import load_image
from skinflow_jax.data.sources.procedural import ProceduralSource
from skinflow_jax.data.splitting import near_duplicates as search
from skinflow_jax.data.splitting.near_duplicates import Pair, case_links, near_duplicates, proposals
from skinflow_jax.data.splitting.signatures import Signature, oriented, signature

ROOT = Path(__file__).parents[3]
_SPEC = importlib.util.spec_from_file_location("copies", ROOT / "benchmarks/planted_copies.py")
COPIES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(COPIES)
COPIES = COPIES.COPIES


def drawn(seed: int) -> np.ndarray:
    """A lesion, moles and hairs on skin, uint8 `[150, 200, 3]`."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (200, 150), tuple(rng.integers(170, 240, 3)))
    draw = ImageDraw.Draw(image)
    for size in (60, 40, 15, 10, 8, 6, 5, 5):
        x, y = rng.integers(20, 180), rng.integers(15, 135)
        width, height = size * rng.uniform(0.5, 1, 2)
        draw.ellipse(
            (x - width, y - height, x + width, y + height), tuple(rng.integers(60, 200, 3))
        )
    for _ in range(6):
        draw.line([tuple(rng.integers(0, 150, 2)) for _ in range(3)], tuple([40] * 3), 2)
    return np.asarray(image)


def copy(image: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(COPIES[name](Image.fromarray(image)))


@pytest.fixture(scope="module")
def drawings() -> list[np.ndarray]:
    return [drawn(seed) for seed in range(20)]


@pytest.fixture(scope="module")
def originals(drawings) -> list[Signature]:
    return [signature(image) for image in drawings]


def pairs(signatures) -> set[tuple[int, int]]:
    return {(pair.i, pair.j) for pair in near_duplicates(signatures)}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("first", ["original", "copy"])
def test_copies_of_drawings_are_found_and_nothing_else(drawings, originals, name, first):
    copies = [signature(copy(image, name)) for image in drawings]
    both = originals + copies if first == "original" else copies + originals
    count = len(drawings)
    found = pairs(both)
    assert len(found & {(k, count + k) for k in range(count)}) >= 0.95 * count
    assert all(j - i == count for i, j in found)


@pytest.fixture(scope="module")
def dermoscopy(test_data) -> list[np.ndarray]:
    """60 lesions of HAM10000 that nobody chose."""
    folder = test_data / "data/ham10000"
    with (folder / "HAM10000_metadata.csv").open() as file:
        lesions = {row["lesion_id"]: row["image_id"] for row in csv.DictReader(file)}
    chosen = sorted(lesions)[:: len(lesions) // 60][:60]
    return [load_image(folder / "images" / f"{lesions[name]}.jpg") for name in chosen]


def test_copies_of_dermoscopic_images_are_found_and_no_other_lesion(dermoscopy):
    """Of each kind at least 95 of 100; 60 images are too few to say it sharper."""
    originals = [signature(image) for image in dermoscopy]
    count, missed = len(originals), {}
    for name in COPIES:
        found = pairs([*originals, *(signature(copy(image, name)) for image in dermoscopy)])
        assert all(j - i == count for i, j in found), name
        missed[name] = count - len(found)
    assert sum(missed.values()) <= 0.02 * count * len(COPIES), missed
    assert max(missed.values()) <= 0.1 * count, missed


def test_a_copy_that_is_mirrored_cropped_darker_and_compressed_at_once_is_found(drawings):
    found = 0
    for image in drawings:
        changed = image
        for name in ("mirrored", "crop 5 % left", "brightness 0.9", "half size", "JPEG q 50"):
            changed = copy(changed, name)
        found += pairs([signature(image), signature(changed)]) == {(0, 1)}
    assert found >= 0.95 * len(drawings)


def test_drawn_cases_are_no_near_duplicates():
    source = ProceduralSource(split="rl", seed=0, count=60, image_size=112)
    assert pairs([signature(source.images(k)[0]) for k in range(len(source))]) == set()


def test_lesions_on_one_backdrop_are_no_near_duplicates():
    """What they share, a cloth and the edge of an arm, has far more contrast than they have."""
    backdrop = drawn(0).copy()
    backdrop[:, np.arange(200) % 24 < 12] = 20
    backdrop[40:110] = (200, 160, 140)
    lesions = []
    for x, y, size in ((60, 60, 8), (140, 85, 9), (100, 75, 7), (35, 90, 9)):
        image = Image.fromarray(backdrop)
        box = (x - size, y - size, x + size, y + size)
        ImageDraw.Draw(image).ellipse(box, (150, 100, 90))
        lesions.append(signature(np.asarray(image)))
    assert pairs(lesions) == set()
    assert pairs([lesions[0], lesions[0]]) == {(0, 1)}


def test_images_of_nearly_one_colour_are_linked_only_where_they_are_the_same():
    """Correlation of noise says nothing, and equal colours are no scene."""
    rng = np.random.default_rng(0)
    white = np.full((150, 200, 3), 255, np.uint8)
    noise = [(200 + rng.normal(0, 1.5, white.shape)).astype(np.uint8) for _ in range(3)]
    images = (white, white, *noise, noise[0])
    assert pairs([signature(image) for image in images]) == {(0, 1), (2, 5)}


def test_smooth_shading_alone_is_no_scene():
    """Two photographs of plain skin in the same light correlate as wholes, not in detail."""
    rng, ramp = np.random.default_rng(0), np.linspace(120, 220, 200)[None, :, None]
    skin = [np.clip(ramp + rng.normal(0, 4, (150, 200, 3)), 0, 255) for _ in range(6)]
    assert pairs([signature(image.astype(np.uint8)) for image in skin]) == set()


def test_identical_images_are_all_pairs_and_share_their_partners(drawings, originals):
    a, b = originals[:2]
    flipped = signature(copy(drawings[0], "flipped"))
    found = near_duplicates([a, b, a, flipped, a])
    assert {(p.i, p.j) for p in found} == {(0, 2), (0, 4), (2, 4), (0, 3), (2, 3), (3, 4)}
    assert found == sorted(found)
    assert {p.correlation for p in found if 3 not in (p.i, p.j)} == {1.0}


def test_many_identical_images_are_compared_with_others_once(originals, monkeypatch):
    compared = []
    inner = search.proposals
    monkeypatch.setattr(
        search, "proposals", lambda hashes: compared.append(hashes) or inner(hashes)
    )
    near_duplicates([originals[0]] * 50 + [originals[1]])
    assert compared[0].shape == (2, 8, 2)


def test_the_number_of_comparisons_is_half_of_all_pairs_in_eight_orientations(monkeypatch):
    """What decides how long many hashes take: 1.2 billion for 17,000."""
    count, compared = 1500, []
    inner = np.bitwise_count

    def counting(array):
        compared.append(array.size)
        return inner(array)

    monkeypatch.setattr(np, "bitwise_count", counting)
    hashes = np.random.default_rng(0).integers(0, 2**64, (count, 8, 2), np.uint64)
    proposed = sum(len(i) for _, i, _ in proposals(hashes))
    assert sum(compared) < 1.1 * 8 * count**2 / 2
    assert proposed < 1e-4 * 8 * count**2 / 2


def test_proposals_are_the_pairs_within_the_distances():
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**64, (70, 8, 2), np.uint64)
    for source, target, which, flips in (
        (3, 40, 5, 9),
        (41, 66, 0, 15),
        (2, 3, 1, 17),
        (0, 69, 7, 30),
    ):
        for kind in (0, 1):
            bits = rng.choice(64, flips, replace=False).astype(np.uint64)
            hashes[target, which, kind] = hashes[source, 0, kind] ^ np.bitwise_or.reduce(
                np.uint64(1) << bits
            )
    found = {
        (which, int(i), int(j)) for which, *p in proposals(hashes) for i, j in zip(*p, strict=True)
    }
    assert found == {(5, 3, 40), (0, 41, 66)}


def test_no_images_and_one_image_have_no_pairs(originals):
    assert near_duplicates([]) == near_duplicates(originals[:1]) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (20, 2000, 3), (5, 7, 3), (300, 63, 3)])
def test_images_of_any_shape_have_a_signature_that_is_the_same_from_its_bytes(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = signature(image)
    data = found.to_bytes()
    assert len(data) == 4224
    again = Signature.from_bytes(data)
    assert np.array_equal(again.hashes, found.hashes) and np.array_equal(again.grey, found.grey)
    with pytest.raises(ValueError, match="4,224 bytes, not 4,223"):
        Signature.from_bytes(data[1:])


def test_the_eight_orientations_are_all_there_are():
    image = np.arange(9).reshape(3, 3)
    found = {oriented(image, which).tobytes() for which in range(8)}
    rotated = [np.rot90(side, turns) for side in (image, image.T) for turns in range(4)]
    assert found == {np.ascontiguousarray(each).tobytes() for each in rotated}


def test_links_of_cases_are_the_best_of_their_images():
    images = [Pair(0, 1, 0.99), Pair(0, 2, 0.91), Pair(1, 3, 0.95), Pair(2, 4, 0.92)]
    assert case_links(images, [0, 0, 1, 1, 0]) == [Pair(0, 1, 0.95)]
