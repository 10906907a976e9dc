"""Claims about synthetic photographs: what the caption says can be measured in the pixels."""

import colorsys
import itertools

import numpy as np
import pytest

from skinflow_jax.clinical.caption_schema import FIELDS
from skinflow_jax.data.sources.drawing import draw_photograph
from skinflow_jax.data.sources.drawing.anatomy import LANDMARKS
from skinflow_jax.data.sources.drawing.arrangement import arrange

PLAIN = {
    "lesion_type": "patch",
    "colour": "brown",
    "shape": "round",
    "size": "10-20 mm",
    "border": "well-defined",
    "surface": "smooth",
    "distribution": "solitary",
    "location": "thigh",
    "number": "single",
}
SKIN_TYPES = range(1, 7)


def _draw(seed=0, fitzpatrick=3, pixels=112, **fields) -> np.ndarray:
    """float64 [pixels, pixels, 3] in 0..255."""
    rng = np.random.default_rng(seed)
    look = {**PLAIN, **fields}
    image, _ = draw_photograph(look, fitzpatrick=fitzpatrick, size=pixels, rng=rng)
    return image.astype(float)


def _mask(seed=0, pixels=112, **fields) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return draw_photograph({**PLAIN, **fields}, fitzpatrick=3, size=pixels, rng=rng)[1]


def _cover(seed=0, pixels=112, **fields) -> np.ndarray:
    """How much of each pixel the lesion's colour covers, about 0 to 1, [S, S]."""
    white, black = (_draw(seed, 3, pixels, **fields, colour=c) for c in ("white", "black"))
    return np.abs(white - black).max(-1) / 200


def _lesion_colour(name: str, fitzpatrick: int) -> np.ndarray:
    """Mean sRGB of the lesion, found as the pixels that change with its colour."""
    image = _draw(fitzpatrick=fitzpatrick, colour=name)
    other = _draw(fitzpatrick=fitzpatrick, colour="blue" if name != "blue" else "yellow")
    return image[np.abs(image - other).max(-1) > 25].mean(0)


@pytest.mark.parametrize("fitzpatrick", SKIN_TYPES)
def test_a_colour_is_true_to_its_name_on_every_skin_type(fitzpatrick):
    mean = {n: _lesion_colour(n, fitzpatrick) for n in FIELDS["colour"].values}
    hue = {n: 360 * colorsys.rgb_to_hsv(*(c / 255))[0] for n, c in mean.items()}
    assert min(hue["red"], 360 - hue["red"]) < 15
    assert hue["pink"] > 335 or hue["pink"] < 12
    assert mean["pink"].mean() > mean["red"].mean() + 30
    assert 15 < hue["brown"] < 40
    assert 38 < hue["yellow"] < 60
    assert 215 < hue["blue"] < 245
    assert 280 < hue["purple"] < 325
    assert mean["black"].max() < 55
    assert mean["white"].min() > 180
    assert np.ptp(mean["grey"]) < 20
    assert np.abs(mean["brown"] - mean["black"]).max() > 20


@pytest.mark.parametrize("fitzpatrick", SKIN_TYPES)
def test_any_two_colours_differ_more_than_one_colour_does_between_pictures(fitzpatrick):
    names = FIELDS["colour"].values
    mean = np.stack([_lesion_colour(n, fitzpatrick) for n in names])
    apart = np.abs(mean[:, None] - mean[None]).max(-1) + 1e3 * np.eye(len(names))
    assert apart.min() > 15


def test_darker_skin_types_are_darker_in_order():
    brightness = [
        np.mean([_draw(seed, f, pixels=56, location="neck").mean() for seed in range(6)])
        for f in SKIN_TYPES
    ]
    assert all(a > b + 10 for a, b in itertools.pairwise(brightness))


@pytest.mark.parametrize(
    ("size", "low", "high"),
    [("under 5 mm", 2, 5), ("5-10 mm", 5, 10), ("10-20 mm", 10, 20), ("over 20 mm", 20, 34)],
)
def test_a_lesion_measures_what_its_size_says(size, low, high):
    lesion_type = "patch" if low >= 10 else "macule"
    for seed in range(5):
        inside = _cover(seed, 224, size=size, lesion_type=lesion_type) > 0.5
        diameter = max(np.ptp(np.flatnonzero(inside.any(axis))) for axis in (0, 1)) * 40 / 224
        assert low <= diameter <= high


def _axes(inside: np.ndarray) -> tuple[float, float]:
    """Standard deviations along the long and the short axis of a mask, in pixels."""
    spread = np.cov(np.argwhere(inside).T)
    short, long = np.sqrt(np.linalg.eigvalsh(spread))
    return long, short


def test_round_oval_and_linear_lesions_are_ever_longer():
    for seed in range(4):
        ratio = {}
        for shape in ("round", "oval", "linear"):
            long, short = _axes(_cover(seed, shape=shape) > 0.5)
            ratio[shape] = long / short
        assert ratio["round"] < 1.2
        assert 1.5 < ratio["oval"] < 2.2
        assert ratio["linear"] > 3


def test_an_annular_lesion_has_a_clear_centre():
    for seed in range(4):
        rows, columns = np.nonzero(_cover(seed, shape="round") > 0.5)
        centre = round(rows.mean()), round(columns.mean())
        assert _cover(seed, shape="round")[centre] > 0.8
        assert _cover(seed, shape="annular")[centre] < 0.3
        assert (_cover(seed, shape="annular") > 0.5).sum() > 50


def _edge_length(inside: np.ndarray) -> float:
    """Perimeter over that of a disc of the same area: 1.27 for a disc on a square grid."""
    edges = sum(np.abs(np.diff(inside.astype(int), axis=a)).sum() for a in (0, 1))
    return edges / (2 * np.sqrt(np.pi * inside.sum()))


def test_shapes_and_borders_show_in_the_outline():
    for seed in range(4):
        length = {
            (shape, border): _edge_length(_cover(seed, 224, shape=shape, border=border) > 0.5)
            for shape, border in (
                ("round", "well-defined"),
                ("round", "irregular"),
                ("irregular", "well-defined"),
            )
        }
        disc = length["round", "well-defined"]
        assert disc < 1.35
        assert length["round", "irregular"] > 1.1 * disc


def test_an_ill_defined_border_is_wider_than_a_well_defined_one():
    for seed in range(4):
        width = {}
        for border in ("well-defined", "ill-defined"):
            cover = _cover(seed, border=border)
            width[border] = ((cover > 0.2) & (cover < 0.7)).sum() / (cover > 0.7).sum()
        assert width["ill-defined"] > 2.5 * width["well-defined"]


def _halves(lesion_type: str, seed: int, **fields) -> float:
    """Brightness of the side towards the light less that of the far side, within the lesion."""
    fields = {"lesion_type": lesion_type, **fields}
    inside = _cover(seed, **fields) > 0.3
    rows, columns = np.indices(inside.shape)
    middle = (rows + columns)[inside].mean()
    grey = _draw(seed, 3, **fields, colour="pink").mean(-1)
    towards = inside & (rows + columns < middle)
    return grey[towards].mean() - grey[inside & ~towards].mean()


def test_raised_lesions_catch_the_light_flat_ones_do_not_and_ulcers_are_sunken():
    for seed in range(3):
        assert abs(_halves("patch", seed)) < 8
        assert _halves("plaque", seed) > 4
        assert _halves("nodule", seed) > 25
        assert _halves("papule", seed, size="5-10 mm") > 15
        assert _halves("ulcer", seed) < -4


def test_any_two_lesion_types_of_one_size_look_different():
    types = [t for t in FIELDS["lesion_type"].values if t not in ("macule", "bulla")]
    images = np.stack([_draw(lesion_type=t, colour="pink") for t in types])
    inside = _cover() > 0.5
    apart = np.abs(images[:, None] - images[None])[..., inside, :].mean((-1, -2))
    assert (apart + 1e3 * np.eye(len(types))).min() > 4


@pytest.mark.parametrize("colour", ["pink", "brown"])
def test_any_two_surfaces_look_different(colour):
    for seed in range(3):
        inside = _cover(seed, lesion_type="plaque") > 0.5
        images = np.stack(
            [
                _draw(seed, lesion_type="plaque", colour=colour, surface=s)[inside]
                for s in FIELDS["surface"].values
            ]
        )
        apart = np.abs(images[:, None] - images[None]).mean((-1, -2))
        assert (apart + 1e3 * np.eye(len(images))).min() > 6


def test_a_rolled_border_is_a_bright_rim():
    for seed in range(3):
        rolled, plain = (_draw(seed, border=b) for b in ("rolled", "well-defined"))
        cover = _cover(seed) > 0.5
        change = np.abs(rolled - plain).mean(-1)
        rows, columns = np.argwhere(cover).mean(0)
        distance = np.hypot(*(np.indices(cover.shape) - np.array([rows, columns])[:, None, None]))
        rim = cover & (distance > 0.7 * distance[cover].max())
        assert change[rim].mean() > 4 * change[cover & (distance < 3)].mean()


def test_a_second_colour_is_there_beside_the_first_which_prevails():
    for seed in range(6):
        both = _draw(seed, colour=["white", "black"])[_cover(seed) > 0.6].mean(-1)
        black, white = (both < 80).mean(), (both > 170).mean()
        assert 0.08 < black < white


def test_locations_are_those_of_the_schema_and_no_two_look_alike():
    broad = {"head", "trunk", "upper limb", "lower limb"}
    assert set(LANDMARKS) == set(FIELDS["location"].values) - broad
    assert broad <= set(FIELDS["location"].parents.values())
    mean = {
        name: np.mean([_draw(seed, pixels=56, location=name) for seed in range(8)], 0)
        for name in LANDMARKS
    }
    names = list(mean)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert np.abs(mean[a] - mean[b]).mean() > 2.0, (a, b)


def _places(distribution: str, number: str, size="5-10 mm", seed=0) -> np.ndarray:
    """Centres [n, 2] in mm."""
    places = arrange(size, distribution, number, np.random.default_rng(seed))
    return np.array([(p.x, p.y) for p in places])


@pytest.mark.parametrize("distribution", FIELDS["distribution"].values[1:])
@pytest.mark.parametrize("size", FIELDS["size"].values)
def test_few_is_two_to_five_and_many_is_more(distribution, size):
    for seed in range(20):
        assert 2 <= len(_places(distribution, "few", size, seed)) <= 5
        if size != "over 20 mm":
            assert len(_places(distribution, "many", size, seed)) >= 6
    assert len(_places("solitary", "single", size)) == 1


def test_arrangements_are_what_their_names_say():
    for seed in range(10):
        line = _places("linear", "many", seed=seed)
        long, short = np.linalg.svd(line - line.mean(0), compute_uv=False)
        assert long > 4 * short
        pairs = _places("symmetric", "many", seed=seed)
        left, right = np.split(pairs, 2)
        np.testing.assert_allclose(left * [-1, 1], right)
        group, scatter = (_places(d, "many", seed=seed) for d in ("grouped", "scattered"))
        assert scatter.std(0).mean() > 1.2 * group.std(0).mean()


@pytest.mark.parametrize("border", FIELDS["border"].values)
@pytest.mark.parametrize("shape", FIELDS["shape"].values)
def test_the_mask_is_what_the_colour_of_the_lesions_covers_by_half(shape, border):
    look = {"shape": shape, "border": border, "number": "few", "distribution": "scattered"}
    cover, mask = _cover(**look), _mask(**look)
    assert mask.any() and not mask.all()
    assert mask[cover > 0.65].mean() > 0.98
    assert mask[cover < 0.25].mean() < 0.02


def test_clutter_and_a_reddened_halo_are_no_part_of_the_mask():
    rng, other = np.random.default_rng(0), np.random.default_rng(1)
    look = {**PLAIN, "lesion_type": "pustule"}
    options = {"fitzpatrick": 3, "size": 112, "clutter": 1.0, "clutter_rng": other}
    _, mask = draw_photograph(look, rng=rng, **options)
    np.testing.assert_array_equal(mask, _mask())
