"""Records to batches of static shape: shuffled, split among hosts, made ahead by threads.

Everything is a function of an example's place in one stream: `sampling` says which (case, task)
pair stands there, `augmentation` is drawn for it, and consecutive places are a global batch, of
which each host takes its rows. So the place in the data is one number, of examples taken, whatever
the batch size and the number of hosts are or were.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grain
import numpy as np

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.data import sampling
from skinflow_jax.data.augmentation import augment
from skinflow_jax.data.buckets import Buckets, Needs, check_buckets
from skinflow_jax.data.chat import prompt_ids
from skinflow_jax.data.checks import Usable, too_long, usable_pairs
from skinflow_jax.data.images import patchify
from skinflow_jax.data.record_set import Record, RecordSet
from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.tasks import prompt_text, target_text
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.json_file import json_line
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import ModelInputs, build_inputs, window_count
from skinflow_jax.parallel.agreement import agreed


@dataclass(frozen=True)
class Example:
    """What a row is about, for rewards, logs and reports.

    Attributes:
      case_id, caption, diagnosis, attributes, soft, answer, columns, group: as in `Case`.
      task: which question is asked.
      prompt: its text, with one `MARK` an image.
      images: uint8 `[H, W, 3]` each.
      schema: of the caption.
      mask: of the case, bool `[H, W]` of the size of its own image 0; None where there is none, or
        the images are augmented.
    """

    case_id: str
    task: str
    caption: Caption
    diagnosis: str
    attributes: dict[str, Any]
    images: tuple[np.ndarray, ...] = field(repr=False, compare=False)
    prompt: str = ""
    answer: str = ""
    soft: dict[str, float] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict, repr=False)
    schema: Schema = field(default=CLINICAL, repr=False)
    group: str = ""
    mask: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def image(self) -> np.ndarray:
        """The first image."""
        return self.images[0]

    @property
    def reference(self) -> str:
        """What the answer is compared with, for people: JSON of a caption and of soft diagnoses."""
        if self.task == "diagnosis" and not self.soft:
            return self.diagnosis
        known = {"caption": self.caption, "diagnosis": self.soft}.get(self.task)
        return self.answer if known is None else json_line(known)


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
    """Makes batches of consecutive places.

    `order` says which (record, task) pair stands at a place. `needs` are of each pair; None takes
    the largest shape. `images_of`: a record to the one whose images it is shown; else its own.
    """

    records: RecordSet
    order: sampling.Order
    pairs: Sequence[tuple[int, str]]
    needs: Sequence[Needs] | None
    tokenizer: Any
    config: VlmConfig
    buckets: Buckets
    seed: int
    targets: bool
    rows: slice
    augmentation: Sequence[str] = ()
    images_of: Mapping[int, int] = field(default_factory=dict)

    def __call__(self, places: np.ndarray) -> Batch:
        """The host's rows of the global batch at `places`; -1 fills up and does not count."""
        valid = int((places[self.rows] >= 0).sum())
        places = np.where(places >= 0, places, places.max()).tolist()
        numbers = [self.order(place) for place in places]
        chosen = [self.pairs[number] for number in numbers[self.rows]]
        records = [self._record(case) for case, _ in chosen]
        tasks = [task for _, task in chosen]
        examples = [
            replace(
                example_of(record.case, task, self._images(record, place), self.records.schema),
                mask=None if self.augmentation else record.mask,
            )
            for record, task, place in zip(records, tasks, places[self.rows], strict=True)
        ]
        ids, mask = self._completions(records, tasks) if self.targets else (None, None)
        shape = self.buckets.largest
        if self.needs is not None:  # those of the whole batch: processes agree without a word
            shape = self.buckets.smallest([self.needs[number] for number in numbers])
        inputs = prompt_inputs(examples, self.tokenizer, self.config, self.buckets, shape=shape)
        return Batch(inputs, ids, mask, examples, valid)

    def _record(self, case: int) -> Record:
        record, shown = self.records[case], self.images_of.get(case, case)
        return record if shown == case else replace(record, images=self.records[shown].images)

    def _images(self, record: Record, place: int) -> list[np.ndarray]:
        if not self.augmentation:
            return list(record.images)
        rng = np.random.default_rng([self.seed, place])
        masks = itertools.chain([record.mask], itertools.repeat(None))
        return [
            augment(image, self.augmentation, rng, mask)
            for image, mask in zip(record.images, masks, strict=False)
        ]

    def _completions(
        self, records: list[Record], tasks: list[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(records), self.buckets.completion_length)
        ids = np.full(shape, self.config.pad_token_id, np.int32)
        mask = np.zeros(shape, bool)
        diagnoses, schema = self.records.diagnoses, self.records.schema
        for row, (record, task) in enumerate(zip(records, tasks, strict=True)):
            text = target_text(task, record.case, diagnoses, self.seed, schema)
            target = [*self.tokenizer.encode(text), self.tokenizer.end_id]
            if reason := too_long(len(target), self.buckets):
                raise InputError(f"case {record.case.case_id}: {reason}")
            ids[row, : len(target)] = target
            mask[row, : len(target)] = True
        return ids, mask


def prompt_inputs(
    examples: Sequence[Example],
    tokenizer,
    config: VlmConfig,
    buckets: Buckets,
    *,
    shape: Needs | None = None,
) -> ModelInputs:
    """The prompts of `examples` in a `shape`; None takes the smallest that holds them."""
    rows = [[patchify(image, config.vision) for image in example.images] for example in examples]
    grids = [[grid for _, grid in row] for row in rows]
    prompts = [
        prompt_ids(tokenizer, example.prompt, row, config)
        for example, row in zip(examples, grids, strict=True)
    ]
    shape = shape or buckets.smallest(
        Needs(len(ids), max(window_count(grid, config.vision) for grid in row), len(row))
        for ids, row in zip(prompts, grids, strict=True)
    )
    return build_inputs(prompts, rows, config, **shape._asdict())


def example_of(
    case: Case, task: str, images: Sequence[np.ndarray], schema: Schema = CLINICAL
) -> Example:
    """What is asked of a case in `task`; raises InputError where it has no such question."""
    known = ("case_id", "caption", "diagnosis", "attributes", "answer", "soft", "columns", "group")
    fields = {name: getattr(case, name) for name in known}
    prompt = prompt_text(task, case, schema)
    return Example(task=task, prompt=prompt, images=tuple(images), schema=schema, **fields)


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
    balance: str | None = None,
    like_sizes: int = 0,
    augmentation: Sequence[str] = (),
    epochs: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
    prefetch: int = 2,
    start: int = 0,
) -> "Batches":
    """Batches for training, an iterator; what cannot be learned from is left out and listed in it.

    An epoch visits each usable (case, task) once, in a new order each time; batches run on across
    the end of an epoch. A last batch that would be smaller is dropped. The order depends on the
    seed, on which pairs are usable, on `balance` and `like_sizes`, on nothing else.

    Args:
      records: the cases.
      tokenizer: as in `tokenizer.py`.
      config: the model, with the tokenizer's ids.
      tasks: of `tasks.TASKS`.
      batch_size: rows over all processes.
      seed: of the order, the augmentation and the diagnoses that fill up a target.
      buckets: the smallest that holds the batch, of all processes, is taken.
      targets: whether to make completion_ids and completion_mask.
      cases_of_task: a task listed here has only so many cases, the first usable ones: few labels of
        one kind beside many of another.
      shuffle: False keeps the order of the records; it cannot be balanced then.
      balance: draws each class equally often, and a class's cases in epochs of their own; see
        `sampling.classes_of` for what it may name.
      like_sizes: examples in a row whose prompts fit the same buckets; 0 does not look at sizes.
      augmentation: names of `augmentation.AUGMENTATIONS`.
      epochs: None never ends.
      process_index: which of the processes this is.
      process_count: each gets `batch_size / process_count` rows of every batch.
      prefetch: batches made ahead, each by its own thread; 0 makes them on demand.
      start: examples of the stream that were taken before, the `examples_taken` of an earlier
        pipeline.

    Raises:
      ConfigError: the batch does not divide among the processes or exceeds the examples there are;
        tasks or their numbers of cases are wrong.
      InputError: a task has no usable case or no case what `balance` names, here; a damaged record,
        when its batch is made.
    """
    rows = _host_rows(batch_size, process_index, process_count)
    if isinstance(start, bool) or not isinstance(start, int) or start < 0:
        raise ConfigError(f"start={start!r} must be a number of examples, 0 or more")
    usable = usable_pairs(
        *(records, tokenizer, config),
        tasks=tasks,
        buckets=buckets,
        seed=seed,
        targets=targets,
        cases_of_task=cases_of_task,
    )
    if len(usable.pairs) * (epochs or batch_size) < batch_size:
        raise ConfigError(
            f"batch_size {batch_size} exceeds the {len(usable.pairs) * (epochs or 1)} "
            "examples there are; lower batch_size or raise epochs"
        )
    if like_sizes > len(usable.pairs):
        raise ConfigError(
            f"data.like_sizes={like_sizes} exceeds the {len(usable.pairs)} examples of an epoch"
        )
    length = len(usable.pairs) * epochs if epochs else sys.maxsize
    order = sampling.repeated(len(usable.pairs))
    if balance:
        order = sampling.balanced(sampling.classes_of(records, usable.pairs, balance), seed)
    elif shuffle:
        order = sampling.shuffled(len(usable.pairs), sampling.stream_seed(seed))
    if like_sizes:
        classes = sampling.size_classes(usable.needs, buckets)
        order = sampling.like_sizes(order, classes, like_sizes, seed=seed, length=length)
    make = _BatchMaker(
        *(records, order, usable.pairs, usable.needs, tokenizer, config, buckets),
        *(seed, targets, rows, augmentation),
    )
    places = grain.MapDataset.range(length)[start:].batch(batch_size, drop_remainder=True)
    options = grain.ReadOptions(num_threads=prefetch, prefetch_buffer_size=prefetch)
    return Batches(iter(places.map(make).to_iter_dataset(options)), usable, batch_size, start)


class Batches(Iterator[Batch]):
    """Batches of training and the place in the data.

    Attributes:
      usable: what they are drawn from, and what was left out.
      examples_taken: of the stream, over all processes, those of the batches handed out; batches
        made ahead do not count.
    """

    def __init__(self, batches: Iterator[Batch], usable: Usable, batch_size: int, start: int):
        self._batches, self._batch_size = batches, batch_size
        self._agreed = agreed(batches)
        self.usable, self.examples_taken = usable, start

    def __next__(self) -> Batch:
        batch = next(self._agreed)
        self.examples_taken += self._batch_size
        return batch

    def close(self) -> None:
        """Stop making batches ahead."""
        self._batches.close()


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
    images_of: Mapping[int, int] | None = None,
) -> Iterator[Batch]:
    """Every case once, in order, without targets, in the largest bucket of each kind.

    The last batch is filled by repeating a row; `valid` counts the rows of this process that are
    not repeats. One shape throughout, so that nothing is compiled twice. `images_of`, as of
    `exchanged`: only these cases, each with the images of another. Other arguments as in
    `make_pipeline`. Raises InputError naming a case that fits no bucket: none is left out here.
    """
    rows = _host_rows(batch_size, process_index, process_count)
    check_buckets(records, tokenizer, config, (task,), buckets)
    pairs = [(number, task) for number in (range(len(records)) if images_of is None else images_of)]
    batches = -(-len(pairs) // batch_size)
    numbers = np.full(batches * batch_size, -1)
    numbers[: len(pairs)] = np.arange(len(pairs))
    make = _BatchMaker(
        *(records, sampling.repeated(len(pairs)), pairs, None, tokenizer, config, buckets),
        *(0, False, rows),
        images_of=images_of or {},
    )
    options = grain.ReadOptions(num_threads=prefetch, prefetch_buffer_size=prefetch)
    dataset = grain.MapDataset.source(numbers.reshape(batches, batch_size)).map(make)
    return iter(dataset.to_iter_dataset(options))
