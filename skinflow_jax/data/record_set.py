"""Records as they are read: cases and resized images by number, from ArrayRecord shards.

A record is the length of a JSON header (4 bytes, little endian), the header (the case and the
image's height and width) and the raw uint8 pixels. Beside the shards, `cases.jsonl` has the headers
alone, for what needs no pixels. ArrayRecord keeps checksums in its files, and the manifest that of
`cases.jsonl`.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grain
import numpy as np

from skinflow_jax.data.manifest import read_manifest
from skinflow_jax.data.sources.case import Case
from skinflow_jax.errors import InputError

CASES = "cases.jsonl"


@dataclass(frozen=True)
class Record:
    """A case and its upright, resized image: uint8 `[H, W, 3]`."""

    case: Case
    image: np.ndarray


def encode_record(record: Record) -> bytes:
    """Serialise one record."""
    text = header_of(record).encode()
    return len(text).to_bytes(4, "little") + text + record.image.tobytes()


def header_of(record: Record) -> str:
    """The case and the size of the image, as one line."""
    height, width, _ = record.image.shape
    case = dataclasses.asdict(record.case)
    return json.dumps({"case": case, "height": height, "width": width})


@dataclass(frozen=True)
class _Header:
    case: Case
    height: int
    width: int

    @classmethod
    def parse(cls, text: str | bytes) -> "_Header":
        header = json.loads(text)
        return cls(Case(**header["case"]), header["height"], header["width"])


def decode_record(data: bytes) -> Record:
    """Inverse of `encode_record`; the image is a read-only view of `data`."""
    end = 4 + int.from_bytes(data[:4], "little")
    header = _Header.parse(data[4:end])
    pixels = np.frombuffer(data, np.uint8, offset=end)
    return Record(header.case, pixels.reshape(header.height, header.width, 3))


def cases_digest(folder: Path) -> str:
    """sha256 of the table of cases; raises OSError where there is none."""
    return hashlib.sha256((folder / CASES).read_bytes()).hexdigest()


class RecordSet(Sequence[Record]):
    """Records of a folder by number; picklable, safe to read from threads, one handle a shard.

    Raises:
      InputError: no manifest or a damaged one, a missing or truncated shard (on opening), a
        damaged record or table of cases (on reading).
    """

    def __init__(self, folder: str | Path, indices: Sequence[int] | None = None):
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        paths = []
        for shard in self.manifest.shards:
            path = self.folder / Path(shard.file).name
            found = path.stat().st_size if path.is_file() else 0
            if found != shard.bytes:
                raise InputError(
                    f"{path}: {found} bytes where the manifest states {shard.bytes}; "
                    "remove the folder and build it again"
                )
            # The range spares ArrayRecord from opening every shard to count it.
            paths.append(f"{path}[0:{shard.count}]")
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
            record = decode_record(self._data[number])
        except RuntimeError as error:
            raise self._damaged(number, " ".join(str(error).split())) from error
        if record.case != self._headers[number].case:
            raise self._damaged(number, f"it is another one than {CASES} has")
        return record

    def case(self, index: int) -> Case:
        """The case of a record, without reading its pixels."""
        return self._headers[self._indices[index]].case

    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels of a record's image, without reading it."""
        header = self._headers[self._indices[index]]
        return header.height, header.width

    @functools.cached_property
    def _headers(self) -> list["_Header"]:
        path = self.folder / CASES
        if not path.is_file() or cases_digest(self.folder) != self.manifest.cases:
            raise InputError(f"{path} is missing or damaged; remove the folder and build it again")
        with path.open(encoding="utf-8") as file:
            return [_Header.parse(line) for line in file]

    def _damaged(self, number: int, reason: str) -> InputError:
        return InputError(
            f"{self.folder}: record {number} is damaged ({reason}); "
            "remove the folder and build it again"
        )

    def __repr__(self) -> str:
        return f"RecordSet({str(self.folder)!r}, {len(self)} of {self.manifest.count})"
