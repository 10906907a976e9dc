"""The static shapes of batches, and which of them a prompt and its image need."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skinflow_jax.data.chat import prompt_ids
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import ModelInputs, empty_inputs, window_count

Size = tuple[int, int]
"""Height and width of a resized image in pixels."""
Needs = tuple[int, int]
"""Tokens of a prompt and windows of its image."""


@dataclass(frozen=True)
class Buckets:
    """The static shapes: prompt lengths in tokens, image sizes in windows, one answer length."""

    prompt_lengths: tuple[int, ...]
    windows: tuple[int, ...]
    completion_length: int

    def __post_init__(self):
        for name in ("prompt_lengths", "windows"):
            if min(getattr(self, name), default=0) < 1:
                raise ConfigError(f"data.{name} needs at least one size, each of 1 or more")


def smallest(choices: Sequence[int], needed: int, largest: bool) -> int:
    """The smallest of the choices that holds what is needed, or the `largest` of all."""
    return max(choices) if largest else min(size for size in choices if size >= needed)


def prompt_needs(
    sizes: Iterable[str], tokenizer, config: VlmConfig, tasks: Sequence[str]
) -> dict[tuple[Size, str], Needs]:
    """What the prompt of each task needs for an image of each size, as a manifest writes sizes."""
    needs = {}
    for text in sizes:
        height, width = map(int, text.split("x"))
        patch = config.vision.patch_size
        grid = height // patch, width // patch
        windows = window_count(grid, config.vision)
        for task in tasks:
            length = len(prompt_ids(tokenizer, task, [grid], config))
            needs[(height, width), task] = length, windows
    return needs


def misfit(needs: Needs, size: Size, buckets: Buckets) -> str | None:
    """Why no bucket holds a prompt with an image of this size; None where one does."""
    length, windows = needs
    for what, needed, choices in (
        ("windows", windows, buckets.windows),
        ("prompt_lengths", length, buckets.prompt_lengths),
    ):
        if needed > max(choices):
            return (
                f"an image of {size[0]}x{size[1]} pixels needs {what} {needed} but the largest "
                f"bucket is {max(choices)}; raise data.{what} or lower data.max_pixels"
            )
    return None


def check_buckets(
    records: RecordSet, tokenizer, config: VlmConfig, tasks: Sequence[str], buckets: Buckets
) -> None:
    """Raise InputError, naming a case, unless the largest bucket holds every prompt and image."""
    for (size, _), needs in prompt_needs(records.manifest.sizes, tokenizer, config, tasks).items():
        reason = misfit(needs, size, buckets)
        if reason:
            case = records.manifest.sizes["{}x{}".format(*size)]
            raise InputError(f"case {case}: {reason}")


def bucket_shapes(
    records: RecordSet,
    tokenizer,
    config: VlmConfig,
    *,
    tasks: Sequence[str],
    rows: int,
    buckets: Buckets,
    largest: bool = False,
) -> list[ModelInputs]:
    """Empty inputs in every shape that batches of `rows` of these records can have, largest first.

    A batch takes the buckets of its longest prompt and of its largest image, which may be of
    different rows. Images that fit no bucket are in no batch.
    """
    alone = {
        (
            smallest(buckets.prompt_lengths, length, largest),
            smallest(buckets.windows, windows, largest),
        )
        for (size, _), (length, windows) in prompt_needs(
            records.manifest.sizes, tokenizer, config, tasks
        ).items()
        if not misfit((length, windows), size, buckets)
    }
    pairs = {tuple(map(max, zip(*pair, strict=True))) for pair in itertools.product(alone, alone)}
    return [
        empty_inputs(rows, config, length=length, windows=windows, images=1)
        for length, windows in sorted(pairs, reverse=True)
    ]
