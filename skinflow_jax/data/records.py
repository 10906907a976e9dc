"""Records built: images decoded, oriented and resized once, to be read many times.

A folder appears under its name only when it is complete, and says in its manifest what it was made
from: labels and images that change under the same names are noticed.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from skinflow_jax.data.content import content_of
from skinflow_jax.data.images import RESIZE_VERSION, resize
from skinflow_jax.data.manifest import (
    Listed,
    Manifest,
    Shard,
    hash_of,
    write_manifest,
)
from skinflow_jax.data.record_set import (
    CASES,
    Record,
    RecordSet,
    cases_digest,
    encode_record,
    header_of,
)
from skinflow_jax.data.sources.case import Source
from skinflow_jax.errors import InputError
from skinflow_jax.storage.whole_folder import FolderTaken, whole_folder

FORMAT_VERSION = 3
SHARD_BYTES = 256 * 2**20
PLAIN = 16
"""An image is listed whose grey values, but for the extreme hundredths, span fewer levels of 255;
those of PAD-UFES-20 and HAM10000 span 37 or more."""


def build_records(
    source: Source,
    folder: str | Path,
    *,
    min_pixels: int,
    max_pixels: int,
    fingerprint: dict[str, Any],
    progress: Callable[[int, int], None] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Manifest:
    """Write the records of `source` under `folder`, or reuse those that are there already.

    Args:
      source: the cases and their images.
      folder: appears complete or not at all; several builders of the same folder do no harm.
      min_pixels: least pixels of a resized image.
      max_pixels: most pixels of a resized image.
      fingerprint: the options that shaped the source (JSON values): split, seed.
      progress: called with (cases done, cases in all).
      shard_bytes: a shard is closed when it holds this many bytes.

    Raises:
      InputError: the folder holds records of something else, such as of labels or images that
        have changed since, or no case is usable.
    """
    folder = Path(folder)
    identity = {
        "source": source.name,
        "cases": len(source),
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
        "format_version": FORMAT_VERSION,
        "resize_version": RESIZE_VERSION,
        "options": json.loads(json.dumps(fingerprint)),
        **content_of(source),
    }
    if folder.exists() and any(folder.iterdir()):
        return _reuse(source, folder, identity)
    try:
        with whole_folder(folder) as building:
            return _write(source, building, identity, progress, shard_bytes)
    except FolderTaken:  # by another process of this job
        return _reuse(source, folder, identity)


def _reuse(source: Source, folder: Path, identity: dict[str, Any]) -> Manifest:
    manifest = RecordSet(folder).manifest
    there = manifest.identity
    keys = [key for key in identity if there.get(key) != identity[key]]
    if not keys:
        # What a source tells may be of other splits, which can change under the same records.
        return dataclasses.replace(manifest, remarks=_remarks(source))
    remedy = "remove that folder or choose another"
    content = {"labels": "labels of the cases", "images": "image files"}
    named = [key for key in keys if key not in content]
    if not named:
        raise InputError(
            f"{folder}: the {' and the '.join(content[key] for key in keys)} have changed since "
            f"these records were built; {remedy}"
        )
    raise InputError(
        f"{folder}: holds the records of {', '.join(f'{k}={there.get(k)!r}' for k in named)} but "
        f"{', '.join(f'{k}={identity[k]!r}' for k in named)} is asked for; {remedy}"
    )


class _Writer:
    """Appends records and their headers, opening a new shard whenever the last one is full."""

    def __init__(self, folder: Path, shard_bytes: int):
        self._folder, self._shard_bytes = folder, shard_bytes
        self._shard, self._count, self._bytes = None, 0, 0
        self._cases = (folder / CASES).open("w", encoding="utf-8")
        self.shards: list[Shard] = []

    def write(self, record: Record) -> None:
        if self._shard is None or self._bytes >= self._shard_bytes:
            self._open_next()
        data = encode_record(record)
        self._shard.write(data)
        self._cases.write(header_of(record) + "\n")
        self._count += 1
        self._bytes += len(data)

    def _open_next(self) -> None:
        self._close_shard()
        # One record a group for random access; uncompressed because photographs hardly shrink.
        self._shard = ArrayRecordWriter(str(self._path()), "group_size:1,uncompressed")

    def _path(self) -> Path:
        return self._folder / f"records-{len(self.shards):05d}.array_record"

    def _close_shard(self) -> None:
        if self._shard:
            self._shard.close()
            path = self._path()
            self.shards.append(Shard(path.name, self._count, path.stat().st_size))
        self._shard, self._count, self._bytes = None, 0, 0

    def close(self) -> None:
        """Finish the open shard and the table of cases."""
        self._close_shard()
        self._cases.close()


def _write(
    source: Source,
    folder: Path,
    identity: dict[str, Any],
    progress: Callable[[int, int], None] | None,
    shard_bytes: int,
) -> Manifest:
    skipped, plain = [], []
    with contextlib.closing(_Writer(folder, shard_bytes)) as writer:
        for done, (case, record) in enumerate(_prepared(source, identity), start=1):
            if isinstance(record, InputError):
                skipped.append(Listed(case, str(record)))
            else:
                writer.write(record)
                if any(map(_is_plain, record.images)):
                    plain.append(Listed(case, "an image of it is nearly of one colour"))
            if progress:
                progress(done, len(source))
    if not writer.shards:
        first = f"; the first: {skipped[0].reason}" if skipped else ""
        raise InputError(f"{source.name}: none of the {len(source)} cases is usable{first}")
    manifest = Manifest(
        source=source.name,
        count=sum(shard.count for shard in writer.shards),
        digest=hash_of(identity),
        identity=identity,
        shards=tuple(writer.shards),
        cases=cases_digest(folder),
        skipped=tuple(skipped),
        plain=tuple(plain),
        remarks=_remarks(source),
        diagnoses=tuple(source.diagnoses),
        note=getattr(source, "note", ""),
    )
    write_manifest(manifest, folder)
    return manifest


def _remarks(source: Source) -> tuple[str, ...]:
    return tuple(getattr(source, "remarks", ()))


def _is_plain(image: np.ndarray) -> bool:
    low, high = np.percentile(image.mean(axis=-1), [1, 99])
    return high - low < PLAIN


def _prepared(
    source: Source, identity: dict[str, Any]
) -> Iterator[tuple[str, Record | InputError]]:
    """Each case's name with its record or the reason why there is none, in order, by threads."""

    def prepare(index: int) -> tuple[str, Record | InputError]:
        name = f"row {index}"
        try:
            case = source.case(index)
            name = case.case_id
            budget = {name: identity[name] for name in ("min_pixels", "max_pixels")}
            images = tuple(resize(image, **budget) for image in source.images(index))
        except InputError as error:
            return name, error
        return name, Record(case, images)

    threads = os.cpu_count() or 1
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads)
    return iter(grain.MapDataset.range(len(source)).map(prepare).to_iter_dataset(options))
