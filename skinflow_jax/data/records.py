"""Records built: images decoded, oriented and resized once, to be read many times.

A folder appears under its name only when it is complete, and says in its manifest what it was made
from: labels and images that change under the same names are noticed. Built part by part, a build
that was killed goes on at the first part that is missing, and ends with the same bytes.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from skinflow_jax.clinical import ontology
from skinflow_jax.data.content import content_of
from skinflow_jax.data.counts import counts
from skinflow_jax.data.images import RESIZE_VERSION, resize, resize_mask
from skinflow_jax.data.manifest import (
    Listed,
    Manifest,
    Shard,
    hash_of,
    read_manifest,
    write_manifest,
)
from skinflow_jax.data.record_set import (
    CASES,
    Record,
    RecordSet,
    case_of,
    cases_digest,
    encode_record,
    header_of,
)
from skinflow_jax.data.sources.case import Case, Source, schema_of
from skinflow_jax.data.splitting.signatures import Signature, signature
from skinflow_jax.errors import InputError
from skinflow_jax.json_file import read_json
from skinflow_jax.storage.whole_folder import FolderTaken, whole_folder
from skinflow_jax.typed_fields import from_dict

T = TypeVar("T")

FORMAT_VERSION = 3
SHARD_BYTES = 256 * 2**20
MOST_SKIPPED = 0.02
SIGNATURES = "signatures.bin"
PLAIN = 16
"""An image is listed whose grey values, but for the extreme hundredths, span fewer levels of 255;
those of PAD-UFES-20 span 38 or more, every fifth of HAM10000 26 or more."""


def build_records(
    source: Source,
    folder: str | Path,
    *,
    min_pixels: int,
    max_pixels: int,
    fingerprint: dict[str, Any],
    progress: Callable[[int, int], None] | None = None,
    shard_bytes: int = SHARD_BYTES,
    most_skipped: float = MOST_SKIPPED,
    signatures: bool = False,
) -> Manifest:
    """Write the records of `source` under `folder`, or reuse those that are there already.

    Args:
      source: the cases and their images.
      folder: appears complete or not at all; several builders of the same folder do no harm.
      min_pixels: least pixels of a resized image.
      max_pixels: most pixels of a resized image.
      fingerprint: the options that shaped the source (JSON values): split, seed.
      progress: called with (cases done, cases in all).
      shard_bytes: most of a shard, were all its images as large as may be.
      most_skipped: share of the cases that may be unusable.
      signatures: whether to keep what near-duplicates are found by, of every image, in
        `SIGNATURES`.

    Raises:
      InputError: the folder holds records of something else, such as of labels or images that
        have changed since; no case is usable, or too few are.
    """
    folder = Path(folder)
    identity = {
        "source": source.name,
        "cases": len(source),
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
        "format_version": FORMAT_VERSION,
        "resize_version": RESIZE_VERSION,
        "caption_schema": schema_of(source).digest,
        "diagnoses": list(source.diagnoses),
        "options": json.loads(json.dumps(fingerprint)),
        **content_of(source),
    }
    if folder.exists() and any(folder.iterdir()):
        return _reuse(source, folder, identity)
    try:
        size = max(1, shard_bytes // (3 * max_pixels))
        how = {"part": size, "signatures": signatures}
        with whole_folder(folder, content=hash_of({**identity, **how})) as building:
            prepare = functools.partial(
                _prepared, source, {"min_pixels": min_pixels, "max_pixels": max_pixels}, signatures
            )
            parts = _parts(prepare, building, len(source), size, progress)
            return _joined(source, building, identity, list(parts), most_skipped)
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


@dataclass(frozen=True)
class _Part:
    """What is known of a finished part besides its shard: lines of the table of cases, and who."""

    shard: Shard | None
    headers: tuple[str, ...]
    skipped: tuple[Listed, ...]
    plain: tuple[Listed, ...]


@dataclass(frozen=True)
class _Prepared:
    """What a thread has made of a case: all that is to be written, or why there is nothing."""

    case: str
    reason: str = ""
    record: bytes = b""
    header: str = ""
    plain: bool = False
    signatures: bytes = b""


def _parts(
    prepare: Callable[[int], _Prepared],
    folder: Path,
    total: int,
    size: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Part]:
    """Parts of `size` cases each, those that are not there already prepared by threads."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, first in enumerate(range(0, total, size)):
            indices = range(first, min(first + size, total))
            name = f"records-{number:05d}"
            part = _finished(folder, name)
            if part is None:
                made = _counted(pool.map(prepare, indices), first, total, progress)
                part = _write_part(folder, name, made)
            elif progress:
                progress(indices.stop, total)
            yield part


def _joined(
    source: Source,
    folder: Path,
    identity: dict[str, Any],
    parts: Sequence[_Part],
    most_skipped: float,
) -> Manifest:
    """The parts become one set: table of cases, signatures, manifest."""
    shards = tuple(part.shard for part in parts if part.shard)
    skipped = tuple(itertools.chain.from_iterable(part.skipped for part in parts))
    _check_skipped(source, skipped, most_skipped)
    with (folder / CASES).open("w", encoding="utf-8") as file:
        file.writelines(header + "\n" for part in parts for header in part.headers)
    manifest = Manifest(
        source=source.name,
        count=sum(shard.count for shard in shards),
        digest=hash_of(identity),
        identity=identity,
        shards=shards,
        cases=cases_digest(folder),
        signatures=_join_signatures(folder),
        counts=counts(case_of(line) for part in parts for line in part.headers),
        skipped=skipped,
        plain=tuple(itertools.chain.from_iterable(part.plain for part in parts)),
        remarks=_remarks(source),
        diagnoses=tuple(source.diagnoses),
        note=getattr(source, "note", ""),
        caption_schema=schema_of(source).text,
        ontology=ontology().digest,
    )
    for path in folder.glob("records-*.json"):
        path.unlink()
    write_manifest(manifest, folder)
    return manifest


def _join_signatures(folder: Path) -> str:
    """Those of all parts become one file; its sha256, "" where there are none."""
    parts = sorted(folder.glob("records-*.signatures"))
    if not parts:
        return ""
    with (folder / SIGNATURES).open("wb") as file:
        for path in parts:
            file.write(path.read_bytes())
            path.unlink()
    return hashlib.sha256((folder / SIGNATURES).read_bytes()).hexdigest()


def read_signatures(folder: Path) -> list[Signature]:
    """Of every image of the records in `folder`, in order.

    Raises InputError where they are missing or damaged.
    """
    path, size = folder / SIGNATURES, Signature.BYTES
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != read_manifest(folder).signatures:
        raise InputError(f"{path} is missing or damaged; remove the folder and build it again")
    return [Signature.from_bytes(data[i : i + size]) for i in range(0, len(data), size)]


def _check_skipped(source: Source, skipped: Sequence[Listed], most: float) -> None:
    first = f"; the first, {skipped[0].case}: {skipped[0].reason}" if skipped else ""
    if len(skipped) == len(source):
        raise InputError(f"{source.name}: none of the {len(source)} cases is usable{first}")
    if len(skipped) > most * len(source):
        raise InputError(
            f"{source.name}: {len(skipped):,} of {len(source):,} cases are unusable, more than the "
            f"{most:.0%} of data.max_skipped{first}"
        )


def _finished(folder: Path, name: str) -> _Part | None:
    """A part that an earlier process has written whole."""
    try:
        part, shard = from_dict(_Part, read_json(folder / f"{name}.json")), None
        if part.shard is not None:
            shard = Shard.of(folder / part.shard.file, part.shard.count)
    except (InputError, OSError):
        return None
    return part if part.shard == shard else None


def _write_part(folder: Path, name: str, prepared: Iterable[_Prepared]) -> _Part:
    shard, writer, headers, skipped, plain = folder / f"{name}.array_record", None, [], [], []
    signatures = []
    try:
        for made in prepared:
            if made.reason:
                skipped.append(Listed(made.case, made.reason))
                continue
            if writer is None:
                # One a group for random access; uncompressed: photographs hardly shrink.
                writer = ArrayRecordWriter(str(shard), "group_size:1,uncompressed")
            writer.write(made.record)
            headers.append(made.header)
            signatures.append(made.signatures)
            if made.plain:
                plain.append(Listed(made.case, "an image of it is nearly of one colour"))
    finally:
        if writer:
            writer.close()
    stated = Shard.of(shard, len(headers)) if writer else None
    part = _Part(stated, tuple(headers), tuple(skipped), tuple(plain))
    if any(signatures):
        (folder / f"{name}.signatures").write_bytes(b"".join(signatures))
    # Last, and by a rename: a part that has its file is whole.
    draft = folder / f"{name}.json.draft"
    draft.write_text(json.dumps(dataclasses.asdict(part)), encoding="utf-8")
    draft.rename(folder / f"{name}.json")
    return part


def _counted(
    prepared: Iterable[T], first: int, total: int, progress: Callable[[int, int], None] | None
) -> Iterator[T]:
    for done, item in enumerate(prepared, start=first + 1):
        yield item
        if progress:
            progress(done, total)


def _remarks(source: Source) -> tuple[str, ...]:
    return tuple(getattr(source, "remarks", ()))


def _is_plain(image: np.ndarray) -> bool:
    # A histogram of every second row and column: to sort all pixels took longer than the record.
    red, green, blue = np.moveaxis(image[::2, ::2].astype(np.uint16), -1, 0)
    below = np.cumsum(np.bincount((red + green + blue).reshape(-1)))
    low, high = np.searchsorted(below, below[-1] * np.array([0.01, 0.99]))
    return high - low < 3 * PLAIN


def _record(source: Source, index: int, case: Case, images: Sequence, budget: dict) -> Record:
    resized = tuple(resize(image, **budget) for image in images)
    if not case.mask:
        return Record(case, resized)
    mask = source.mask(index, images[0].shape[:2])
    return Record(case, resized, resize_mask(mask, resized[0].shape[:2]))


def _prepared(source: Source, budget: dict[str, int], signatures: bool, index: int) -> _Prepared:
    name = f"row {index}"
    try:
        case = source.case(index)
        name = case.case_id
        images = source.images(index)
        if len(images) != len(case.views):
            raise InputError(f"{name}: {len(images)} images where {len(case.views)} are named")
        record = _record(source, index, case, images, budget)
    except InputError as error:
        return _Prepared(name, reason=str(error))
    signed = b"".join(signature(image).to_bytes() for image in images) if signatures else b""
    plain = any(map(_is_plain, record.images))
    return _Prepared(name, "", encode_record(record), header_of(record), plain, signed)
