"""From a data config to sources, records and splits."""

import contextlib
import functools
from collections import Counter
from pathlib import Path

from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.schema_file import load_schema
from skinflow_jax.config import DataConfig, RunConfig
from skinflow_jax.data.captioning.written import read_captions
from skinflow_jax.data.manifest import hash_of
from skinflow_jax.data.pipeline import Buckets
from skinflow_jax.data.records import RecordSet, build_records
from skinflow_jax.data.sources import Case, ProceduralSource, Source
from skinflow_jax.data.sources.catalogue import open_source as open_whole
from skinflow_jax.data.sources.fitzpatrick17k import Fitzpatrick17kSource
from skinflow_jax.data.sources.id_lists import matched
from skinflow_jax.data.sources.union import UnionSource
from skinflow_jax.data.splitting.files import FOLDER, OWNER, splits_of
from skinflow_jax.data.splitting.fitzpatrick17k_test1000 import NAME as TEST1000
from skinflow_jax.data.splitting.fitzpatrick17k_test1000 import write_evaluation_list
from skinflow_jax.data.splitting.splits import Splits
from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.evaluation.floor import Floor, floor_of
from skinflow_jax.parallel.agreement import check_same, first_then_all
from skinflow_jax.rl.rewards import SCALES
from skinflow_jax.runs.ontologies import use_named
from skinflow_jax.training.progress import track_counts


def use_ontology(config: RunConfig) -> None:
    """`use_named` of the config's."""
    use_named(config.clinical.ontology)


def open_cases(data: DataConfig, split: str, count: int | None, folder: Path) -> Source | RecordSet:
    """The cases of a split without their images: drawings are made only where they are needed.

    `folder`: of the records, as in `prepare_records`.
    """
    if data.source == "procedural":
        if count is None:
            raise ConfigError("procedural source: give data.count, how many cases to draw")
        return ProceduralSource(split=split, seed=data.seed, count=count, **data.options)
    return prepare_records(data, split, count, folder)


def readable_cases(source: Source | RecordSet) -> list[Case]:
    """The cases without the bad rows, which the builder of the records counts and lists."""
    cases = []
    for index in range(len(source)):
        with contextlib.suppress(InputError):
            cases.append(source.case(index))
    return cases


def prepare_records(data: DataConfig, split: str, count: int | None, folder: Path) -> RecordSet:
    """Records of a split under `folder`, built if they are not there; says what was skipped.

    Drawings are built split by split, and their count is part of the folder's name: another one is
    no reason to throw records away. Data sets on disk are built whole and split after it. Of
    several processes the first builds, for those that share its folder.
    """
    return first_then_all(functools.partial(_prepare_records, data, split, count, folder))


def _prepare_records(data: DataConfig, split: str, count: int | None, folder: Path) -> RecordSet:
    if data.source == "procedural":
        source = open_cases(data, split, count, folder)
        name = "-".join([data.source, split, *([] if count is None else [str(count)])])
        fingerprint = {"split": split, "seed": data.seed, **data.options}
        return _built(data, source, folder / name, fingerprint, f"{split} images")
    whole = build_whole(data, folder)
    records = _of_split(whole, data, split, count)
    if count is not None and len(records) < count:
        name = whole.manifest.source
        print(f"{name} {split}: {len(records):,} cases, fewer than the {count:,} asked for")
    return records


def build_whole(data: DataConfig, folder: Path) -> RecordSet:
    """All records of the config's data sets on disk, below `folder`."""
    source = open_union(data)
    for each in data.sources:
        root = Path(each.data_root).resolve()
        if folder.resolve().is_relative_to(root):
            raise InputError(
                f"{folder} lies in the data root {root}: what is written there would be taken for "
                "data; choose a folder elsewhere"
            )
    repeated = [name for name, n in Counter(_ids(source)).items() if n > 1]
    if repeated:
        raise InputError(
            f"{len(repeated):,} ids are those of several cases, first {printable(repeated[0])}: "
            "name an id_column or correct the table"
        )
    settings = {"sources": [[each.source, each.options] for each in data.sources]}
    return _built(data, source, folder / source.name, settings, "images", signatures=True)


def _ids(source: Source) -> list[str]:
    return [case.case_id for case in readable_cases(source)]


def split_cases(whole: RecordSet, data: DataConfig) -> tuple[Splits, Path]:
    """The splits that the config asks for of all its records, and the folder of their lists."""
    previous = None if data.previous is None else Path(data.previous)
    lists = _lists(data, whole.folder / FOLDER)
    return splits_of(whole, data.fractions, data.seed, lists=lists, previous=previous)


def _lists(data: DataConfig, folder: Path) -> Path | str | None:
    """What `data.split_by` names; the project's evaluation split is written into `folder`."""
    if data.split_by != TEST1000:
        return data.split_by if data.split_by in (None, OWNER) else Path(data.split_by)
    for each in data.sources:
        source = open_whole(each.source, each.data_root, each.options)
        if isinstance(source, Fitzpatrick17kSource):
            return write_evaluation_list(source.table, folder)
    raise ConfigError(f"data.split_by={TEST1000} is of the source fitzpatrick17k: add it, or drop")


def _of_split(whole: RecordSet, data: DataConfig, split: str, count: int | None) -> RecordSet:
    splits, _ = split_cases(whole, data)
    chosen = [n for n in range(len(whole)) if splits.of.get(whole.case(n).case_id) == split]
    if not chosen:
        there = ", ".join(sorted(set(splits.of.values())))
        raise InputError(f"{whole.folder}: no case is in split {split!r}; there are {there}")
    # The first of a source are of one kind, where it is sorted by class.
    drawn = sorted(chosen, key=lambda n: hash_of([data.seed, whole.case(n).case_id]))[:count]
    return whole.select(sorted(drawn))


def open_union(data: DataConfig) -> UnionSource:
    """All data sets on disk that the config names."""
    schema = load_schema(data.caption_schema)
    sources = [
        open_whole(each.source, each.data_root, each.options, schema) for each in data.sources
    ]
    names = [each.name or each.source for each in data.sources]
    if data.captions is None:
        return UnionSource(sources, schema, names=names)
    path = Path(data.captions)
    found = read_captions(path, schema)
    captions = {name: each.caption for name, each in found.items()}
    union = UnionSource(sources, schema, captions, names)
    diagnoses = {case.case_id: case.diagnosis for case in readable_cases(union)}
    for name, each in found.items():
        if each.diagnosis and diagnoses.get(name, each.diagnosis) != each.diagnosis:
            raise InputError(
                f"{path}: {printable(name)} is captioned as {printable(each.diagnosis)}, and it is "
                f"{printable(diagnoses[name])}: are the captions of other data?"
            )
    union.remarks += matched(captions, set(diagnoses) & set(captions), path, "among the cases")
    return union


def _built(
    data: DataConfig, source: Source, target: Path, fingerprint: dict, title: str, **options
) -> RecordSet:
    with track_counts(title) as progress:
        manifest = build_records(
            source,
            target,
            min_pixels=data.min_pixels,
            max_pixels=data.max_pixels,
            fingerprint=fingerprint,
            progress=progress,
            most_skipped=data.max_skipped,
            **options,
        )
    if manifest.has_news:
        print(manifest.summary())
    return RecordSet(target)


def heldout_cases(config: RunConfig, records_folder: Path) -> tuple[RecordSet, Floor]:
    """The records that the config evaluates on, and what the best constant answers are."""
    use_ontology(config)
    data, wanted = config.data, config.evaluation
    records = prepare_records(data, wanted.split, wanted.count, records_folder)
    check_same("held-out data", records.digest)
    if data.source == "procedural":
        training: Source | RecordSet = open_cases(data, data.split, data.count, records_folder)
    else:
        training = _of_split(RecordSet(records.folder), data, data.split, data.count)
    return records, training_floor(training, records.schema)


def training_floor(source: Source | RecordSet, schema: Schema, **options) -> Floor:
    """The best constant answers to the readable cases; options as of `diagnosis_reward`."""
    cases = readable_cases(source)
    labels, captions = [case.diagnosis for case in cases], [case.caption for case in cases]
    return floor_of(labels, captions, schema, **options)


def print_floor(config: RunConfig, training: RecordSet) -> None:
    """Say what the best constant answers to the training cases are paid by the built-in rewards.

    Of the diagnosis rewards by the one that the run has, with its options, else the linear one.
    """
    options, scale = {}, "linear"
    if config.algorithm == "grpo":
        options = config.rl.reward_options
        scale = next((SCALES[name] for name in config.rl.rewards if name in SCALES), scale)
    floor = training_floor(training, training.schema, scale=scale, **options)
    for line in floor.lines():
        print(printable(line))


def buckets(data: DataConfig, records: RecordSet) -> Buckets:
    """The static shapes of the config, and of how many images the records' cases have."""
    return Buckets(data.prompt_lengths, data.windows, data.completion_length, records.image_counts)
