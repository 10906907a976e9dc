"""Records as they are read: cases and resized images by number, from ArrayRecord shards.

A record is the length of a JSON header (4 bytes, little endian), the header (the case and the
height and width of each image), the raw uint8 pixels of one image after the other, and the bits of
the mask where the case has one. Beside the shards, `cases.jsonl` has the headers alone, for what
needs no pixels. ArrayRecord keeps checksums in its files, and the manifest that of `cases.jsonl`.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grain
import numpy as np

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.schema_file import parse_schema
from skinflow_jax.data.manifest import hash_of, read_manifest
from skinflow_jax.data.sources.case import Case
from skinflow_jax.errors import InputError

CASES = "cases.jsonl"
Sizes = tuple[tuple[int, int], ...]
"""Height and width of each image of a case, resized, in pixels."""


@dataclass(frozen=True)
class Record:
    """A case and its upright, resized images in the order of `Case.views`: uint8 `[H, W, 3]`.

    `mask` is the lesion in image 0, bool `[H, W]`; None where `case.mask` is False.
    """

    case: Case
    images: tuple[np.ndarray, ...]
    mask: np.ndarray | None = None


def encode_record(record: Record) -> bytes:
    """Serialise one record."""
    text = header_of(record).encode()
    pixels = (image.tobytes() for image in record.images)
    bits = b"" if record.mask is None else np.packbits(record.mask).tobytes()
    return b"".join([len(text).to_bytes(4, "little"), text, *pixels, bits])


def header_of(record: Record) -> str:
    """The case and the sizes of its images, as one line."""
    sizes = [image.shape[:2] for image in record.images]
    return json.dumps({"case": vars(record.case), "sizes": sizes})


@dataclass(frozen=True)
class _Header:
    case: Case
    sizes: Sizes

    @classmethod
    def parse(cls, text: str | bytes) -> "_Header":
        header = json.loads(text)
        return cls(Case(**header["case"]), tuple(map(tuple, header["sizes"])))


def case_of(header: str) -> Case:
    """The case of a line of the table of cases."""
    return _Header.parse(header).case


def decode_record(data: bytes) -> Record:
    """Inverse of `encode_record`; the images are read-only views of `data`."""
    end = 4 + int.from_bytes(data[:4], "little")
    header = _Header.parse(data[4:end])
    pixels = np.frombuffer(data, np.uint8, offset=end)
    edges = np.cumsum([0, *(height * width * 3 for height, width in header.sizes)])
    images = tuple(
        pixels[start:stop].reshape(*size, 3)
        for start, stop, size in zip(edges, edges[1:], header.sizes, strict=False)
    )
    mask = None
    if header.case.mask:
        size = images[0].shape[:2]
        bits = np.unpackbits(pixels[edges[-1] :], count=size[0] * size[1])
        mask = bits.astype(bool).reshape(size)
    return Record(header.case, images, mask)


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

    @property
    def diagnoses(self) -> tuple[str, ...]:
        """The closed list of names that the cases' diagnoses come from."""
        return self.manifest.diagnoses

    @property
    def schema(self) -> Schema:
        """That of the cases' captions."""
        text = self.manifest.caption_schema
        return parse_schema(text, f"{self.folder}: caption_schema") if text else CLINICAL

    @property
    def digest(self) -> str:
        """Changes with the records and with which of them these are."""
        if isinstance(self._indices, range):
            return self.manifest.digest
        return hash_of([self.manifest.digest, self._indices])

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

    def sizes(self, index: int) -> Sizes:
        """Height and width in pixels of each image of a record, without reading it."""
        return self._headers[self._indices[index]].sizes

    @property
    def image_counts(self) -> tuple[int, ...]:
        """How many images a case of these records may have, ascending."""
        return tuple(sorted({len(self.sizes(index)) for index in range(len(self))}))

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
