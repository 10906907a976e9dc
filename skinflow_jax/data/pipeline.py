"""Records to batches of static shape: shuffled, split among hosts, made ahead by threads.

Everything is a function of the batch's number: Grain shuffles example numbers, repeats them over
epochs and groups them into global batches, of which each host takes its rows. So an iterator's
state is one number, and the stream of examples does not depend on how many hosts share it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grain
import numpy as np

from skinflow_jax.data.chat import prompt_ids, target_text
from skinflow_jax.data.images import patchify
from skinflow_jax.data.records import Record, RecordSet
from skinflow_jax.data.sources.case import Caption
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import ModelInputs, build_inputs, empty_inputs, window_count


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


@dataclass(frozen=True)
class Example:
    """What a row is about, for rewards, logs and reports; `image` is uint8 `[H, W, 3]`."""

    case_id: str
    task: str
    caption: Caption
    diagnosis: str
    attributes: dict[str, Any]
    image: np.ndarray = field(repr=False, compare=False)


@dataclass(frozen=True)
class Batch:
    """One host's rows of a batch.

    Attributes:
      inputs: the prompts, padded to a bucket.
      completion_ids: int32 `[B, Lc]`, target ids and the first eos id, then pads; None when no
        targets were asked for.
      completion_mask: bool `[B, Lc]`, True where there is a target or its eos; or None.
      examples: one a row.
      valid: rows that count; the rest repeat the last one to fill the batch.
    """

    inputs: ModelInputs
    completion_ids: np.ndarray | None
    completion_mask: np.ndarray | None
    examples: list[Example]
    valid: int


@dataclass(frozen=True)
class _BatchMaker:
    """Makes batches from the numbers of their examples: number = case * tasks + task."""

    records: RecordSet
    tokenizer: Any
    config: VlmConfig
    tasks: tuple[str, ...]
    buckets: Buckets
    seed: int
    targets: bool
    rows: slice
    largest: bool

    def __call__(self, numbers: np.ndarray) -> Batch:
        """The host's rows of the global batch `numbers`; -1 fills up and does not count."""
        mine = np.asarray(numbers)[self.rows]
        valid = int((mine >= 0).sum())
        mine = np.where(mine >= 0, mine, numbers.max())
        chosen = [divmod(int(number), len(self.tasks)) for number in mine]
        records = [self.records[case] for case, _ in chosen]
        tasks = [self.tasks[task] for _, task in chosen]
        examples = [_example(*pair) for pair in zip(records, tasks, strict=True)]
        ids, mask = self._completions(records, tasks) if self.targets else (None, None)
        inputs = prompt_inputs(
            examples, self.tokenizer, self.config, self.buckets, largest=self.largest
        )
        return Batch(inputs, ids, mask, examples, valid)

    def _completions(
        self, records: list[Record], tasks: list[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(records), self.buckets.completion_length)
        ids = np.full(shape, self.config.pad_token_id, np.int32)
        mask = np.zeros(shape, bool)
        diagnoses = self.records.manifest.diagnoses
        for row, (record, task) in enumerate(zip(records, tasks, strict=True)):
            text = target_text(task, record.case, diagnoses, self.seed)
            target = [*self.tokenizer.encode(text), self.config.eos_token_ids[0]]
            if len(target) > shape[1]:
                raise InputError(
                    f"case {record.case.case_id}: its {task} target has {len(target)} tokens but "
                    f"completion_length is {shape[1]}; raise data.completion_length"
                )
            ids[row, : len(target)] = target
            mask[row, : len(target)] = True
        return ids, mask


def prompt_inputs(
    examples: Sequence[Example],
    tokenizer,
    config: VlmConfig,
    buckets: Buckets,
    *,
    largest: bool = False,
) -> ModelInputs:
    """The prompts of `examples` in the smallest buckets that hold them, or in the largest."""
    images = [patchify(example.image, config.vision) for example in examples]
    prompts = [
        prompt_ids(tokenizer, example.task, [grid], config)
        for example, (_, grid) in zip(examples, images, strict=True)
    ]
    windows = max(window_count(grid, config.vision) for _, grid in images)
    return build_inputs(
        prompts,
        [[image] for image in images],
        config,
        length=_bucket(buckets.prompt_lengths, max(map(len, prompts)), largest),
        windows=_bucket(buckets.windows, windows, largest),
        images=1,
    )


def _bucket(choices: Sequence[int], needed: int, largest: bool) -> int:
    return max(choices) if largest else min(size for size in choices if size >= needed)


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
    different rows.
    """
    alone = set()
    for size in records.manifest.sizes:
        grid = _grid(size, config)
        windows = _bucket(buckets.windows, window_count(grid, config.vision), largest)
        for task in tasks:
            length = len(prompt_ids(tokenizer, task, [grid], config))
            alone.add((_bucket(buckets.prompt_lengths, length, largest), windows))
    pairs = {tuple(map(max, zip(*pair, strict=True))) for pair in itertools.product(alone, alone)}
    return [
        empty_inputs(rows, config, length=length, windows=windows, images=1)
        for length, windows in sorted(pairs, reverse=True)
    ]


def _grid(size: str, config: VlmConfig) -> tuple[int, int]:
    """Patches of an image whose size the manifest writes as `HEIGHTxWIDTH`, in pixels."""
    rows, columns = (int(side) // config.vision.patch_size for side in size.split("x"))
    return rows, columns


def _example(record: Record, task: str) -> Example:
    case = record.case
    return Example(case.case_id, task, case.caption, case.diagnosis, case.attributes, record.image)


def check_buckets(
    records: RecordSet, tokenizer, config: VlmConfig, tasks: Sequence[str], buckets: Buckets
) -> None:
    """Raise InputError, naming a case, unless the largest bucket holds every prompt and image."""
    if not tasks:
        raise ConfigError("data.tasks is empty: name at least one task")
    for size, case in records.manifest.sizes.items():
        grid = _grid(size, config)
        windows = window_count(grid, config.vision)
        length = max(len(prompt_ids(tokenizer, task, [grid], config)) for task in tasks)
        for what, needed, choices in (
            ("windows", windows, buckets.windows),
            ("prompt_lengths", length, buckets.prompt_lengths),
        ):
            if needed > max(choices):
                raise InputError(
                    f"case {case}: an image of {size} pixels needs {what} {needed} but the largest "
                    f"bucket is {max(choices)}; raise data.{what} or lower data.max_pixels"
                )


def _host_rows(batch_size: int, process_index: int, process_count: int) -> slice:
    if batch_size % process_count:
        raise ConfigError(
            f"batch_size {batch_size} does not divide among {process_count} processes; "
            f"make it a multiple of {process_count}"
        )
    local = batch_size // process_count
    return slice(process_index * local, (process_index + 1) * local)


def make_pipeline(
    records: RecordSet,
    tokenizer,
    config: VlmConfig,
    *,
    tasks: Sequence[str],
    batch_size: int,
    seed: int,
    buckets: Buckets,
    targets: bool = True,
    cases_of_task: Mapping[str, int] | None = None,
    shuffle: bool = True,
    epochs: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
    prefetch: int = 2,
) -> grain.IterDataset[Batch]:
    """Batches for training; `iter()` of it is a Grain iterator with get_state and set_state.

    An epoch visits each (case, task) once, in a new order each time; batches run on across the end
    of an epoch. A last batch that would be smaller is dropped.

    Args:
      records: the cases.
      tokenizer: as in `tokenizer.py`.
      config: the model, with the tokenizer's ids.
      tasks: of `chat.TASKS`.
      batch_size: rows over all processes.
      seed: of the order and of the diagnoses that fill up a target.
      buckets: the smallest that holds the batch is taken; with several processes always the
        largest, because all of them must agree on the shapes.
      targets: whether to make completion_ids and completion_mask.
      cases_of_task: a task listed here has only so many cases, the first ones: few labels of one
        kind beside many of another.
      shuffle: False keeps the order of the records.
      epochs: None never ends.
      process_index: which of the processes this is.
      process_count: each gets `batch_size / process_count` rows of every batch.
      prefetch: batches made ahead, each by its own thread; 0 makes them on demand.

    Raises:
      ConfigError: the batch does not divide among the processes or exceeds the examples there are.
      InputError: a case that fits no bucket, here; a target longer than completion_length, or a
        damaged record, when its batch is made.
    """
    tasks, rows = tuple(tasks), _host_rows(batch_size, process_index, process_count)
    check_buckets(records, tokenizer, config, tasks, buckets)
    pairs = [
        case * len(tasks) + place
        for place, task in enumerate(tasks)
        for case in range(min(len(records), (cases_of_task or {}).get(task, len(records))))
    ]
    numbers = grain.MapDataset.source(np.sort(pairs))
    if shuffle:
        # Grain adds the epoch to the seed: neighbouring seeds would share their orders.
        numbers = numbers.shuffle(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    numbers = numbers.repeat(epochs).batch(batch_size, drop_remainder=True)
    if not len(numbers):
        raise ConfigError(
            f"batch_size {batch_size} exceeds the {len(pairs) * (epochs or 1)} "
            "examples there are; lower batch_size or raise epochs"
        )
    make = _BatchMaker(
        *(records, tokenizer, config, tasks, buckets, seed, targets, rows),
        largest=process_count > 1,
    )
    options = grain.ReadOptions(num_threads=prefetch, prefetch_buffer_size=prefetch)
    return numbers.map(make).to_iter_dataset(options)


def evaluation_batches(
    records: RecordSet,
    tokenizer,
    config: VlmConfig,
    *,
    task: str,
    batch_size: int,
    buckets: Buckets,
    process_index: int = 0,
    process_count: int = 1,
    prefetch: int = 2,
) -> Iterator[Batch]:
    """Every case once, in order, without targets, in the largest bucket of each kind.

    The last batch is filled by repeating a row; `valid` counts the rows of this process that are
    not repeats. One shape throughout, so that nothing is compiled twice. Arguments and errors as
    in `make_pipeline`.
    """
    rows = _host_rows(batch_size, process_index, process_count)
    check_buckets(records, tokenizer, config, (task,), buckets)
    batches = -(-len(records) // batch_size)
    numbers = np.full(batches * batch_size, -1)
    numbers[: len(records)] = np.arange(len(records))
    make = _BatchMaker(
        *(records, tokenizer, config, (task,), buckets, 0, False, rows), largest=True
    )
    options = grain.ReadOptions(num_threads=prefetch, prefetch_buffer_size=prefetch)
    dataset = grain.MapDataset.source(numbers.reshape(batches, batch_size)).map(make)
    return iter(dataset.to_iter_dataset(options))
