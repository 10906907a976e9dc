"""SYNTHETIC clinical photographs: cases drawn from textbook-like distributions, no real patient.

The embedded default source. It serves to show and test the machinery; a model trained on it has
learnt drawings. Everything is a function of (seed, split, index): no order, no state, no files.
"""

import functools
import zlib

import numpy as np

from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.disease_profiles import PROFILES, SIZES_OF_TYPE, Profile, Table
from skinflow_jax.data.sources.drawing import draw_photograph
from skinflow_jax.errors import ConfigError

SPLITS = ("warmup", "rl", "heldout")
DRAWING_VERSION = 1
"""Of all that draws; raise it when the same case looks different, so that records are rebuilt."""
_CAPTION, _DRAWING, _CLUTTER = range(3)


class ProceduralSource:
    """`count` synthetic cases of one split, each diagnosis equally likely.

    Args:
        split: "warmup", "rl" or "heldout"; the splits are disjoint random streams.
        seed: same seed, same cases and images.
        count: number of cases; case `i` does not depend on it.
        image_size: pixels along each side of the 40 mm field, at least 28.
        clutter: 0 (bare skin) to 1 (hair, ruler, pen, uneven light, blur); it never changes the
            case or the skin underneath.

    Raises ConfigError naming the option that is out of range.
    """

    name = "procedural"
    diagnoses = tuple(PROFILES)

    def __init__(
        self, *, split: str, seed: int, count: int, image_size: int = 224, clutter: float = 0.0
    ) -> None:
        """Nothing is drawn yet."""
        if split not in SPLITS:
            raise ConfigError(f"procedural source: split is {split!r}, choose from {SPLITS}")
        if seed < 0 or count < 1 or image_size < 28 or not 0 <= clutter <= 1:
            raise ConfigError(
                f"procedural source: need seed >= 0 (is {seed}), count >= 1 (is {count}), "
                f"image_size >= 28 (is {image_size}) and clutter in 0..1 (is {clutter})"
            )
        self.split, self.seed, self.count = split, seed, count
        self.image_size, self.clutter = image_size, clutter
        # The builder of records asks for the image and then for its mask, in each of its threads.
        self._drawing = functools.lru_cache(maxsize=32)(self._draw)

    def __len__(self) -> int:
        """The number of cases."""
        return self.count

    def case(self, index: int) -> Case:
        """Sample the case; raises IndexError outside 0 … count − 1."""
        rng = self._rng(index, _CAPTION)
        diagnosis = self.diagnoses[rng.integers(len(self.diagnoses))]
        fitzpatrick = int(rng.integers(1, 7))
        case_id = f"synthetic-{self.seed}-{self.split}-{index:06d}"
        return Case(
            case_id=case_id,
            group=case_id,
            caption=sample_caption(PROFILES[diagnosis], rng),
            diagnosis=diagnosis,
            attributes={"fitzpatrick": fitzpatrick, "synthetic": True},
            mask=True,
        )

    def images(self, index: int) -> list[np.ndarray]:
        """Draw the case, uint8 [image_size, image_size, 3]."""
        return [self._drawing(index)[0].copy()]

    def mask(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """Where its lesions are drawn, bool [image_size, image_size], which is `size`."""
        return self._drawing(index)[1].copy()

    def _draw(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        case = self.case(index)
        return draw_photograph(
            case.caption,
            fitzpatrick=case.attributes["fitzpatrick"],
            size=self.image_size,
            rng=self._rng(index, _DRAWING),
            clutter=self.clutter,
            clutter_rng=self._rng(index, _CLUTTER),
        )

    def image_digests(self, index: int) -> list[str]:
        """What the drawing depends on, besides the case: there is no file."""
        return [f"{DRAWING_VERSION}/{self.image_size}/{self.clutter}"]

    def _rng(self, index: int, stream: int) -> np.random.Generator:
        if not 0 <= index < self.count:
            raise IndexError(f"case {index} of {self.count}")
        # crc32 is the same in every process, which Python's hash() of a string is not.
        key = [self.seed, zlib.crc32(self.split.encode()), index, stream]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def sample_caption(profile: Profile, rng: np.random.Generator) -> Caption:
    """One patient's picture of a disease: all eight caption fields and `number`.

    Fields are independent but for what words mean: the size fits the lesion type, a flat
    lesion differs from the skin by its colour, a solitary lesion is single, and the field has no
    room for many lesions over 20 mm.
    """
    lesion_type = _draw(profile.lesion_type, rng)
    colours = dict(profile.colour)
    if lesion_type in ("macule", "patch"):
        colours.pop("skin-coloured", None)
    fitting = {size: profile.size[size] for size in SIZES_OF_TYPE[lesion_type]}
    distribution = _draw(profile.distribution, rng)
    size = _draw(fitting, rng)
    several = "many" if rng.uniform() < profile.many and size != "over 20 mm" else "few"
    return {
        "lesion_type": lesion_type,
        "colour": _draw_with_others(colours, profile.second_colour, rng),
        "shape": _draw(profile.shape, rng),
        "size": size,
        "border": _draw(profile.border, rng),
        "surface": _draw_with_others(profile.surface, profile.second_surface, rng),
        "distribution": distribution,
        "location": _draw(profile.location, rng),
        "number": "single" if distribution == "solitary" else several,
    }


def _draw(table: Table, rng: np.random.Generator) -> str:
    edges = np.cumsum(list(table.values()))
    return list(table)[int(np.searchsorted(edges, rng.uniform() * edges[-1], side="right"))]


def _draw_with_others(first: Table, others: Table, rng: np.random.Generator) -> str | list[str]:
    """The main value, and those of `others` that join it by their own probability."""
    values = [_draw(first, rng)]
    for value, probability in others.items():
        if rng.uniform() < probability and value not in values:
            values.append(value)
    return values if len(values) > 1 else values[0]
