"""`manifest.json` of a folder of records: what it holds, what it was made from, what was left out.

It carries a checksum of its own content, and those of the shards and of the table of cases are
checked when they are read: a folder that was damaged or edited is refused, never served.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinflow_jax.clinical import ontology
from skinflow_jax.data.counts import UNKNOWN
from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.json_file import read_json
from skinflow_jax.typed_fields import from_dict

FILE = "manifest.json"
_CHECKSUM = "checksum"
_LINES = 10


@dataclass(frozen=True)
class Shard:
    """An ArrayRecord file beside the manifest: its name, records, size in bytes and hash."""

    file: str
    count: int
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, count: int) -> "Shard":
        """Of a file as it lies there."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.name, count, path.stat().st_size, digest)


@dataclass(frozen=True)
class Listed:
    """A case to be told of, and why."""

    case: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """What a folder of records holds and what it was made from.

    Attributes:
      source: name of the source.
      count: number of records.
      digest: hash of `identity`, and so of all that the records were made from.
      identity: source, its number of cases and the hashes of their labels and images, pixel budget,
        versions of the format and of the resize, and the caller's options.
      shards: the files of records, in order.
      cases: sha256 of the table of cases, `cases.jsonl`.
      caption_schema: the file that says what captions hold; "" for the program's own.
      skipped: the cases that were left out.
      signatures: sha256 of the file that near-duplicates are found by; "" where there is none.
      counts: how many cases have each diagnosis, skin type and so on (see `counts`).
      plain: the cases whose image is nearly of one colour; they are kept.
      remarks: what the source tells of its table and images, such as rows it left out.
      diagnoses: the source's closed list.
      note: licence or synthetic origin, where the source states one.
      ontology: digest of the one that named the diagnoses; "" of an earlier version. Records are
        read by the one in use.
    """

    source: str
    count: int
    digest: str
    identity: dict[str, Any]
    shards: tuple[Shard, ...]
    cases: str
    signatures: str
    counts: dict[str, dict[str, int]]
    skipped: tuple[Listed, ...]
    plain: tuple[Listed, ...]
    remarks: tuple[str, ...]
    diagnoses: tuple[str, ...]
    note: str = ""
    caption_schema: str = ""
    ontology: str = ""

    def summary(self) -> str:
        """The count, and a line for each skipped or plain case and each remark, the first ten."""
        size = sum(shard.bytes for shard in self.shards) / 2**20
        head = f"{self.source}: {self.count:,} cases in {len(self.shards)} shards ({size:,.0f} MiB)"
        lines = [
            *_first_lines([f"skipped {skip.case}: {skip.reason}" for skip in self.skipped]),
            *_first_lines([f"kept {case.case}: {case.reason}" for case in self.plain]),
            *_first_lines(self.remarks),
        ]
        return "\n".join([f"{head}, {len(self.skipped):,} skipped", *lines])

    def other_ontology(self) -> str:
        """A line where another ontology than the one in use named the diagnoses, else ""."""
        known = ontology()
        if self.ontology in ("", known.digest):
            return ""
        names = self.counts.get("diagnosis", {}).keys() - {UNKNOWN}
        return printable(
            f"{self.source}: another ontology ({self.ontology[:8]}) named the diagnoses than the "
            f"one in use ({known.digest[:8]}), which has no row for "
            f"{len(names - known.diseases.keys()):,} of {len(names):,}"
        )

    @property
    def has_news(self) -> bool:
        """Whether the summary says more than the count."""
        return bool(self.skipped or self.plain or self.remarks)


def _first_lines(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _LINES
    rest = [f"  … and {more:,} more, listed in {FILE}"] if more > 0 else []
    return [*(f"  {printable(line)}" for line in lines[:_LINES]), *rest]


def hash_of(value: Any) -> str:
    """Of JSON values, whatever the order of their keys: 16 hexadecimal digits of sha256."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write it with its checksum."""
    content = json.loads(json.dumps(dataclasses.asdict(manifest)))
    text = json.dumps({**content, _CHECKSUM: hash_of(content)}, indent=1)
    (folder / FILE).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Inverse of `write_manifest`.

    Raises InputError where there is none, or it is damaged, edited or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder}: holds no {FILE}; build the records into a fresh folder")
    remedy = "remove the folder and build it again"
    try:
        content = read_json(path)
        if content.pop(_CHECKSUM, None) != hash_of(content):
            raise InputError(f"{path} is damaged, edited or of an earlier version: restore it")
        return from_dict(Manifest, content)
    except ConfigError as error:
        raise InputError(f"{path}: {error}; {remedy}") from error
    except InputError as error:
        raise InputError(f"{error}, or {remedy}") from error
