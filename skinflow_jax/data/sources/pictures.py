"""One picture of a case: a file under the source's root, or bytes that stand in its table."""

import base64
import binascii
import functools
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from skinflow_jax.data.images import load_image, load_image_bytes
from skinflow_jax.errors import InputError

# How base64 text of the formats that are read begins: JPEG, PNG, WebP, GIF, BMP, TIFF; HEIC is
# taken for a picture too, to be refused by its name.
_BASE64_STARTS = ("/9j/", "iVBOR", "UklGR", "R0lGOD", "Qk", "SUkq", "TU0A", "AAAA")
_SHORTEST_BASE64 = 64  # of the smallest pictures; a file's name may begin like base64


class Picture(Protocol):
    """An image that is decoded when it is asked for; `name` says where it is, for messages."""

    @property
    def name(self) -> str:
        """Its path, or file and row."""
        ...

    def load(self, *, opaque: bool = False) -> np.ndarray:
        """Uint8 `[H, W, 3]`, upright; raises InputError naming it when it cannot be used.

        Where it has to be `opaque`, transparency is refused instead of shown white.
        """
        ...

    def digest(self) -> str:
        """sha256 of its bytes; raises InputError when they cannot be read."""
        ...


@dataclass(frozen=True)
class FilePicture:
    """An image file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def load(self, *, opaque: bool = False) -> np.ndarray:
        """As `Picture.load`."""
        return load_image(self.path, opaque=opaque)

    def digest(self) -> str:
        """As `Picture.digest`."""
        return file_digest(self.path)


@dataclass(frozen=True)
class BytesPicture:
    """An image file's bytes, kept in a table; `name` says where, for messages."""

    name: str
    data: bytes

    def load(self, *, opaque: bool = False) -> np.ndarray:
        """As `Picture.load`."""
        return load_image_bytes(self.data, self.name, opaque=opaque)

    def digest(self) -> str:
        """As `Picture.digest`."""
        return hashlib.sha256(self.data).hexdigest()


def from_base64(text: str, name: str) -> BytesPicture | None:
    """The picture that `text` holds in base64, with or without `data:…;base64,`; None for a path.

    Raises InputError naming `name` where the text says it is base64 and is none.
    """
    stated = text.startswith("data:")
    if stated:
        kind, comma, text = text.partition(",")
        if not comma or not kind.endswith(";base64"):
            raise InputError(f"{name}: a data address that is not base64; give base64 or a path")
    elif len(text) < _SHORTEST_BASE64 or not text.startswith(_BASE64_STARTS):
        return None
    try:
        return BytesPicture(name, base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError) as error:
        if not stated and "." in text:  # which base64 lacks and a file's name has
            return None
        raise InputError(f"{name}: its base64 is damaged or cut short; write it again") from error


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes. Raises InputError naming a file that cannot be read."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: is a folder, pipe or device; give an image file")
        return _digest(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such image file; check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


@functools.cache
def _digest(path: Path, *_state: int) -> str:
    """Read once a process while the file's state is the same: no program can set its ctime."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
