"""The static shapes of batches, and which of them a prompt and its image need."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from skinflow_jax.data.chat import prompt_ids
from skinflow_jax.data.record_set import RecordSet, Sizes
from skinflow_jax.data.tasks import prompt_text
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import ModelInputs, empty_inputs, window_count


class Needs(NamedTuple):
    """What a prompt needs: tokens, windows of its largest image, number of images."""

    length: int
    windows: int
    images: int


@dataclass(frozen=True)
class Buckets:
    """The static shapes: prompt lengths in tokens, image sizes in windows, one answer length.

    `images`: how many a prompt has; the records know it.
    """

    prompt_lengths: tuple[int, ...]
    windows: tuple[int, ...]
    completion_length: int
    images: tuple[int, ...] = (1,)

    def __post_init__(self):
        for name in ("prompt_lengths", "windows"):
            if min(getattr(self, name), default=0) < 1:
                raise ConfigError(f"data.{name} needs at least one size, each of 1 or more")

    @property
    def largest(self) -> Needs:
        """The shape that holds all."""
        return Needs(max(self.prompt_lengths), max(self.windows), max(self.images))

    def smallest(self, needs: Iterable[Needs]) -> Needs:
        """The smallest shape of a batch of prompts with these needs."""
        choices = self.prompt_lengths, self.windows, self.images
        most = map(max, zip(*needs, strict=True))
        return Needs(*map(_smallest, choices, most))


def _smallest(choices: Sequence[int], needed: int) -> int:
    return min(size for size in choices if size >= needed)


class PromptNeeds:
    """What prompts need, by their words and the sizes of their images; what was asked is kept."""

    def __init__(self, tokenizer, config: VlmConfig):
        self._tokenizer, self._config, self._known = tokenizer, config, {}

    def of(self, prompt: str, sizes: Sizes) -> Needs:
        """Of a prompt, with one `MARK` for each of the images of these sizes.

        Raises InputError where it has not.
        """
        key = prompt, sizes
        if key not in self._known:
            vision = self._config.vision
            grids = [(h // vision.patch_size, w // vision.patch_size) for h, w in sizes]
            length = len(prompt_ids(self._tokenizer, prompt, grids, self._config))
            windows = max((window_count(grid, vision) for grid in grids), default=1)
            self._known[key] = Needs(length, windows, len(grids))
        return self._known[key]


def misfit(needs: Needs, sizes: Sizes, buckets: Buckets) -> str | None:
    """Why no bucket holds a prompt with images of these sizes; None where one does."""
    for what, needed, choices in (
        ("windows", needs.windows, buckets.windows),
        ("prompt_lengths", needs.length, buckets.prompt_lengths),
    ):
        if needed > max(choices):
            shown = " and ".join(f"{height}x{width}" for height, width in sizes)
            return (
                f"an image of {shown} pixels needs {what} {needed} but the largest "
                f"bucket is {max(choices)}; raise data.{what} or lower data.max_pixels"
            )
    return None


def check_buckets(
    records: RecordSet, tokenizer, config: VlmConfig, tasks: Sequence[str], buckets: Buckets
) -> None:
    """Raise InputError, naming a case, unless the largest bucket holds every prompt and image."""
    needs = PromptNeeds(tokenizer, config)
    for task, number in itertools.product(tasks, range(len(records))):
        case, sizes = records.case(number), records.sizes(number)
        prompt = prompt_text(task, case, records.schema)
        reason = misfit(needs.of(prompt, sizes), sizes, buckets)
        if reason:
            raise InputError(f"case {case.case_id}: {reason}")


def bucket_shapes(
    needs: Iterable[Needs],
    config: VlmConfig,
    *,
    rows: int,
    buckets: Buckets,
    largest: bool = False,
) -> list[ModelInputs]:
    """Empty inputs in every shape that batches of `rows` such prompts can have, largest first.

    A batch takes the buckets of its longest prompt, of its largest image and of its most images,
    which may be of different rows. With `largest` there is also the largest shape, which rows take
    that processes have exchanged.
    """
    shapes = {buckets.smallest([alone]) for alone in set(needs)}
    if largest:
        shapes.add(buckets.largest)
    while True:
        pairs = itertools.product(shapes, shapes)
        joined = {Needs(*map(max, a, b)) for a, b in pairs}
        if joined == shapes:
            break
        shapes = joined
    return [empty_inputs(rows, config, **shape._asdict()) for shape in sorted(shapes, reverse=True)]
