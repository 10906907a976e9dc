"""A safetensors file, read and written in parts.

The format is eight bytes with the header's length, the header (JSON: type, shape and byte range of
each tensor) and the tensors' bytes. The library reads by mapping the whole file and writes from a
second copy of all its tensors; here never more than a block of one is held.
"""

import contextlib
import itertools
import json
import math
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from skinflow_jax.errors import ConfigError, InputError, printable, shortened
from skinflow_jax.json_file import check_fetched, unique_keys

BLOCK_BYTES = 2**20  # fits a cache: what is transposed or rounded is read again at once
_MOST_HEADER = 100_000_000  # as in the library
_MOST_AXES = 8

# What can be imported: a type that is not here cannot be exported as it was.
DTYPES = {
    "F32": np.dtype(np.float32),
    "BF16": np.dtype(jnp.bfloat16),
    "F16": np.dtype(np.float16),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

Region = tuple[slice, ...]


def weights_dtype(dtype, names: Collection[str] = ("float32", "bfloat16", "float16")) -> np.dtype:
    """`dtype`, a name or a type, if it is one of `names`; raises ConfigError for another."""
    found = str(dtype)
    with contextlib.suppress(TypeError):
        found = jnp.dtype(dtype).name
    if found not in names:
        raise ConfigError(f"dtype is {found!r}: choose one of {', '.join(names)}")
    return np.dtype(jnp.dtype(found))


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: `start` is the place of its first byte in `file`."""

    file: Path
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, view: tuple[int, ...], region: Region) -> np.ndarray:
        """The part `region` of the tensor seen in the shape `view`; no other byte is read.

        Raises InputError when the file ends too early.
        """
        shape = tuple(part.stop - part.start for part in region)
        found = np.empty(shape, self.dtype)
        # From axis `whole` on all is taken: one run of bytes for each place on the axes before.
        whole = len(view)
        while whole and shape[whole - 1] == view[whole - 1]:
            whole -= 1
        lead = max(whole - 1, 0)
        strides = [math.prod(view[axis + 1 :]) for axis in range(len(view))]
        first = sum(part.start * stride for part, stride in zip(region, strides, strict=True))
        raw = memoryview(found.reshape(-1).view(np.uint8))
        run = math.prod(shape[lead:]) * self.dtype.itemsize
        with self.file.open("rb", buffering=0) as file:
            places = itertools.product(*map(range, shape[:lead])) if run else ()
            for number, place in enumerate(places):
                ahead = sum(i * stride for i, stride in zip(place, strides, strict=False))
                file.seek(self.start + (first + ahead) * self.dtype.itemsize)
                self._fill(file, raw[number * run : (number + 1) * run])
        return found

    def _fill(self, file, target: memoryview) -> None:
        while target:
            count = file.readinto(target)
            if not count:
                raise InputError(f"{self.file} ends within tensor {self.name}: fetch it again")
            target = target[count:]


def blocks(region: Region, itemsize: int) -> Iterator[Region]:
    """`region` cut along its first axis into parts of about `BLOCK_BYTES`."""
    if not region:
        yield region
        return
    head, *rest = region
    row = math.prod(part.stop - part.start for part in rest) * itemsize
    step = max(1, BLOCK_BYTES // max(row, 1))
    for start in range(head.start, head.stop, step):
        yield (slice(start, min(start + step, head.stop)), *rest)


def all_finite(x: np.ndarray) -> bool:
    """Whether no element is NaN or infinite."""
    if x.dtype == jnp.bfloat16:  # its own isfinite is slow
        bits = x.view(np.uint16)
        return not np.any((bits & 0x7F80) == 0x7F80)
    return bool(np.isfinite(x).all())


def converted(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`x` in another type, rounded to even; what is too large for it becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(dtype, copy=False)


def read_header(file: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file, by name; none of them is read.

    Raises InputError, in one line, when the file is absent or none, a git LFS pointer, cut, or has
    bytes that no tensor owns; or a tensor is of a type that cannot be imported.
    """
    entries, data, size = _header(file)
    entries.pop("__metadata__", None)
    ranges = sorted(_byte_range(file, name, entry) for name, entry in entries.items())
    end = 0
    for start, stop, name in ranges:
        if start != end:
            raise InputError(
                f"{file}: the bytes of tensor {_shown(name)} are misplaced: fetch it again"
            )
        end = stop
    if size != data + end:
        raise InputError(
            f"{file} has {size:,} bytes, its header asks for {data + end:,}: fetch it again"
        )
    return {name: _stored(file, name, entry, data) for name, entry in entries.items()}


def read_metadata(file: Path) -> dict[str, str]:
    """What the writer of a safetensors file noted in it. Raises InputError as `read_header`."""
    stated = _header(file)[0].get("__metadata__")
    stated = stated if isinstance(stated, dict) else {}
    return {name: text for name, text in stated.items() if isinstance(text, str)}


def _header(file: Path) -> tuple[dict[str, Any], int, int]:
    """(the header, the place of the first byte after it, the file's size)."""
    with _readable(file) as (opened, size):
        check_fetched(file)
        head = opened.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or not 2 <= length <= min(size - 8, _MOST_HEADER):
            raise InputError(f"{file} is no safetensors file, or is cut: fetch it again")
        return _parsed(file, opened.read(length)), 8 + length, size


@contextlib.contextmanager
def _readable(file: Path):
    """(opened file, its size); a pipe or device is not waited for."""
    try:
        state = file.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{file} is no file: a shard of weights is expected there")
        with file.open("rb") as opened:
            yield opened, state.st_size
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist: fetch the folder again") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error


def _parsed(file: Path, text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode(), object_pairs_hook=unique_keys, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{file}: its header is no JSON ({told}): fetch it again") from error
    if not isinstance(found, dict):
        raise InputError(f"{file}: its header is no JSON object: fetch it again")
    return found


def _whole(text: str) -> int:
    if len(text) > 19:
        raise ValueError(f"the number {shortened(text, 30)} is too large")
    return int(text)


def _byte_range(file: Path, name: str, entry) -> tuple[int, int, str]:
    """(first byte, end, name), of as many bytes as type and shape take."""
    dtype, shape, place = (
        (entry.get("dtype"), entry.get("shape"), entry.get("data_offsets"))
        if isinstance(entry, dict)
        else (None,) * 3
    )
    counts = isinstance(shape, list) and isinstance(place, list) and len(place) == 2
    if not (counts and isinstance(dtype, str) and all(map(_is_count, shape + place))):
        raise InputError(f"{file}: its header does not say where {_shown(name)} lies")
    if dtype not in DTYPES:
        kind = "convert it to F32" if dtype == "F64" else "it is quantised: take the model it was"
        raise InputError(
            f"{file}: tensor {_shown(name)} has the type {_shown(dtype)}, only "
            f"{', '.join(DTYPES)} can be imported: {kind}"
        )
    if len(shape) > _MOST_AXES:  # whose product may be a number that takes minutes
        raise InputError(
            f"{file}: tensor {_shown(name)} has {len(shape):,} axes, no model has more than "
            f"{_MOST_AXES}: fetch it again"
        )
    size = math.prod(shape) * DTYPES[dtype].itemsize
    if place[1] - place[0] != size:
        raise InputError(
            f"{file}: tensor {_shown(name)} of shape {tuple(shape)} takes {size:,} bytes, the "
            f"header gives it {place[1] - place[0]:,}: fetch it again"
        )
    return place[0], place[1], name


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _shown(name: str) -> str:
    return shortened(printable(name), 120)


def _stored(file: Path, name: str, entry: dict, data: int) -> StoredTensor:
    dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
    return StoredTensor(file, name, dtype, shape, data + entry["data_offsets"][0])


def write_file(
    path: Path,
    layout: Mapping[str, tuple[np.dtype, tuple[int, ...]]],
    parts: Iterable[np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file: type and shape by name, and in that order all tensors' bytes.

    `parts`: consecutive pieces of the tensors, of any size, C-contiguous; each is written before
    the next is asked for. `metadata`: notes for `read_metadata`.
    """
    # transformers refuses a file that does not say what wrote its tensors.
    header, end = {"__metadata__": {"format": "pt", **(metadata or {})}}, 0
    for name, (dtype, shape) in layout.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in parts:
            file.write(memoryview(part.reshape(-1).view(np.uint8)))
        file.flush()
        os.fsync(file.fileno())
