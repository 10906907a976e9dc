"""Images decoded, oriented and resized once, kept in ArrayRecord shards, read many times.

A record is the length of a JSON header (4 bytes, little endian), the header (the case and the
image's height and width) and the raw uint8 pixels. `manifest.json` beside the shards says what
they were made from. A folder appears under its name only when it is complete.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from skinflow_jax.data.images import resize
from skinflow_jax.data.sources.case import Case, Source
from skinflow_jax.errors import InputError
from skinflow_jax.whole_folder import whole_folder

FORMAT_VERSION = 1
SHARD_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Record:
    """A case and its upright, resized image: uint8 `[H, W, 3]`."""

    case: Case
    image: np.ndarray


@dataclass(frozen=True)
class Manifest:
    """What a folder of records holds and what it was made from.

    Attributes:
      source: name of the source.
      count: number of records.
      fingerprint: hash of `identity`.
      identity: source, its number of cases, pixel budget, format version and the caller's options.
      shards: `{"file", "count", "bytes"}` of each, in order.
      sizes: per image size "HxW", the first case that has it: what the buckets must hold.
      skipped: `{"case", "reason"}` of each case that was left out.
      diagnoses: the source's closed list.
      note: licence or synthetic origin, where the source states one.
    """

    source: str
    count: int
    fingerprint: str
    identity: dict[str, Any]
    shards: list[dict[str, Any]]
    sizes: dict[str, str]
    skipped: list[dict[str, str]]
    diagnoses: list[str]
    note: str = ""

    def summary(self) -> str:
        """The count, and one line for each skipped case."""
        size = sum(shard["bytes"] for shard in self.shards) / 2**20
        head = f"{self.source}: {self.count:,} cases in {len(self.shards)} shards ({size:,.0f} MiB)"
        lines = [f"  skipped {skip['case']}: {skip['reason']}" for skip in self.skipped]
        return "\n".join([f"{head}, {len(lines)} skipped", *lines])


def encode_record(record: Record) -> bytes:
    """Serialise one record."""
    height, width, _ = record.image.shape
    header = {"case": dataclasses.asdict(record.case), "height": height, "width": width}
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "little") + text + record.image.tobytes()


def decode_record(data: bytes) -> Record:
    """Inverse of `encode_record`; the image is a read-only view of `data`."""
    end = 4 + int.from_bytes(data[:4], "little")
    header = json.loads(data[4:end])
    pixels = np.frombuffer(data, np.uint8, offset=end)
    image = pixels.reshape(header["height"], header["width"], 3)
    return Record(Case(**header["case"]), image)


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
      fingerprint: the options that shaped the source (JSON values): split, seed, root folder.
      progress: called with (cases done, cases in all).
      shard_bytes: a shard is closed when it holds this many bytes.

    Raises:
      InputError: the folder holds records of something else, or no case is usable.
    """
    folder = Path(folder)
    identity = {
        "source": source.name,
        "cases": len(source),
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
        "format_version": FORMAT_VERSION,
        "options": json.loads(json.dumps(fingerprint)),
    }
    if folder.exists() and any(folder.iterdir()):
        return _reuse(folder, identity)
    try:
        with whole_folder(folder) as building:
            return _write(source, building, identity, progress, shard_bytes)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return _reuse(folder, identity)  # another process of this job was faster


def _hash(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _reuse(folder: Path, identity: dict[str, Any]) -> Manifest:
    manifest = RecordSet(folder).manifest
    if manifest.fingerprint == _hash(identity):
        return manifest
    there = manifest.identity
    keys = [key for key in identity if there.get(key) != identity[key]]
    raise InputError(
        f"{folder}: holds the records of {', '.join(f'{k}={there.get(k)!r}' for k in keys)} but "
        f"{', '.join(f'{k}={identity[k]!r}' for k in keys)} is asked for; "
        "remove that folder or choose another"
    )


class _ShardWriter:
    """Appends records, opening a new shard whenever the last one is full."""

    def __init__(self, folder: Path, shard_bytes: int):
        self._folder, self._shard_bytes = folder, shard_bytes
        self._writer = None
        self.shards: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        if self._writer is None or self.shards[-1]["bytes"] >= self._shard_bytes:
            self._open_next()
        self._writer.write(data)
        self.shards[-1]["count"] += 1
        self.shards[-1]["bytes"] += len(data)

    def _open_next(self) -> None:
        self.close()
        name = f"records-{len(self.shards):05d}.array_record"
        # One record a group for random access; uncompressed because photographs hardly shrink.
        self._writer = ArrayRecordWriter(str(self._folder / name), "group_size:1,uncompressed")
        self.shards.append({"file": name, "count": 0, "bytes": 0})

    def close(self) -> None:
        """Finish the open shard and replace its payload's size by the file's."""
        if self._writer:
            self._writer.close()
            self.shards[-1]["bytes"] = (self._folder / self.shards[-1]["file"]).stat().st_size
        self._writer = None


def _write(
    source: Source,
    folder: Path,
    identity: dict[str, Any],
    progress: Callable[[int, int], None] | None,
    shard_bytes: int,
) -> Manifest:
    sizes, skipped = {}, []
    with contextlib.closing(_ShardWriter(folder, shard_bytes)) as writer:
        for done, (case, record) in enumerate(_prepared(source, identity), start=1):
            if isinstance(record, InputError):
                skipped.append({"case": case, "reason": str(record)})
            else:
                writer.write(encode_record(record))
                sizes.setdefault("{}x{}".format(*record.image.shape), case)
            if progress:
                progress(done, len(source))
    if not writer.shards:
        first = f"; the first: {skipped[0]['reason']}" if skipped else ""
        raise InputError(f"{source.name}: none of the {len(source)} cases is usable{first}")
    manifest = Manifest(
        source=source.name,
        count=sum(shard["count"] for shard in writer.shards),
        fingerprint=_hash(identity),
        identity=identity,
        shards=writer.shards,
        sizes=sizes,
        skipped=skipped,
        diagnoses=list(source.diagnoses),
        note=getattr(source, "note", ""),
    )
    text = json.dumps(dataclasses.asdict(manifest), indent=1)
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return manifest


def _prepared(
    source: Source, identity: dict[str, Any]
) -> Iterator[tuple[str, Record | InputError]]:
    """Each case's name with its record or the reason why there is none, in order, by threads."""

    def prepare(index: int) -> tuple[str, Record | InputError]:
        name = f"row {index}"
        try:
            case = source.case(index)
            name = case.case_id
            image = resize(
                source.image(index),
                min_pixels=identity["min_pixels"],
                max_pixels=identity["max_pixels"],
            )
        except InputError as error:
            return name, error
        return name, Record(case, image)

    threads = os.cpu_count() or 1
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads)
    return iter(grain.MapDataset.range(len(source)).map(prepare).to_iter_dataset(options))


class RecordSet(Sequence[Record]):
    """Records of a folder by number; picklable, safe to read from threads, one handle a shard.

    Raises:
      InputError: no manifest, a missing or truncated shard (on opening), a damaged record (on
        reading).
    """

    def __init__(self, folder: str | Path, indices: Sequence[int] | None = None):
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder)
        paths = []
        for shard in self.manifest.shards:
            path = self.folder / shard["file"]
            found = path.stat().st_size if path.is_file() else 0
            if found != shard["bytes"]:
                raise InputError(
                    f"{path}: {found} bytes where the manifest states {shard['bytes']}; "
                    "remove the folder and build it again"
                )
            # The range spares ArrayRecord from opening every shard to count it.
            paths.append(f"{path}[0:{shard['count']}]")
        self._data = grain.sources.ArrayRecordDataSource(paths)
        self._indices = range(self.manifest.count) if indices is None else tuple(indices)

    def select(self, indices: Sequence[int]) -> "RecordSet":
        """The records with these numbers, in this order."""
        return RecordSet(self.folder, [self._indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Record:
        number = self._indices[index]
        try:
            data = self._data[number]
        except RuntimeError as error:
            raise InputError(
                f"{self.folder}: record {number} is damaged ({' '.join(str(error).split())}); "
                "remove the folder and build it again"
            ) from error
        return decode_record(data)

    def __repr__(self) -> str:
        return f"RecordSet({str(self.folder)!r}, {len(self)} of {self.manifest.count})"


def _read_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"{folder}: holds no manifest.json; build the records into a fresh folder")
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {error}; remove the folder and build it again") from error
