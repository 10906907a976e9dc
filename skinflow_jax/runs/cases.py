"""From a data config to sources and records."""

import contextlib
import functools
from pathlib import Path

from skinflow_jax.config import DataConfig, RunConfig
from skinflow_jax.data.pipeline import Buckets
from skinflow_jax.data.records import RecordSet, build_records
from skinflow_jax.data.sources import Case, Source, make_source
from skinflow_jax.errors import InputError
from skinflow_jax.parallel.agreement import check_same, first_then_all
from skinflow_jax.training.progress import track_counts


def open_source(data: DataConfig, split: str, count: int | None) -> Source:
    """The split of the configured source."""
    return make_source(
        data.source,
        split=split,
        seed=data.seed,
        data_root=data.data_root,
        count=count,
        **data.options,
    )


def readable_cases(source: Source) -> list[Case]:
    """The cases without the bad rows, which the builder of the records counts and lists."""
    cases = []
    for index in range(len(source)):
        with contextlib.suppress(InputError):
            cases.append(source.case(index))
    return cases


def labels_of(source: Source) -> list[str]:
    """The diagnoses of the readable cases of a source."""
    return [case.diagnosis for case in readable_cases(source)]


def prepare_records(data: DataConfig, split: str, count: int | None, folder: Path) -> RecordSet:
    """Records of a split under `folder`, built if they are not there; says what was skipped.

    The count is part of their name: another one is no reason to throw records away. Of several
    processes the first builds them, for those that share its folder.
    """
    return first_then_all(functools.partial(_prepare_records, data, split, count, folder))


def _prepare_records(data: DataConfig, split: str, count: int | None, folder: Path) -> RecordSet:
    source = open_source(data, split, count)
    if count is not None and len(source) < count:
        print(f"{data.source} {split}: {len(source):,} cases, fewer than the {count:,} asked for")
    target = folder / "-".join([data.source, split, *([] if count is None else [str(count)])])
    with track_counts(f"{split} images") as progress:
        manifest = build_records(
            source,
            target,
            min_pixels=data.min_pixels,
            max_pixels=data.max_pixels,
            fingerprint={
                "split": split,
                "seed": data.seed,
                **data.options,
            },
            progress=progress,
        )
    if manifest.has_news:
        print(manifest.summary())
    return RecordSet(target)


def heldout_cases(config: RunConfig, records_folder: Path) -> tuple[RecordSet, list[str]]:
    """The records that the config evaluates on, and the diagnoses of its training cases."""
    data, wanted = config.data, config.evaluation
    records = prepare_records(data, wanted.split, wanted.count, records_folder)
    check_same("held-out data", records.manifest.digest)
    return records, labels_of(open_source(data, data.split, data.count))


def buckets(data: DataConfig, records: RecordSet) -> Buckets:
    """The static shapes of the config, and of how many images the records' cases have."""
    return Buckets(data.prompt_lengths, data.windows, data.completion_length, records.image_counts)
