"""The image files of a source on disk: found by the stem of their name, known by their bytes."""

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from skinflow_jax.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")


class ImageFolder:
    """The images in and under some folders; tables say `.png` where users may hold `.jpg`.

    Raises InputError where there is none.
    """

    def __init__(self, root: Path, folders: Iterable[Path]):
        self._paths = defaultdict(list)
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in SUFFIXES:
                    self._paths[path.stem].append(path)
        if not self._paths:
            raise InputError(f"{root}: no .png or .jpg files in images/ or imgs_part_*/")

    def __contains__(self, stem: str) -> bool:
        return stem in self._paths

    def path(self, stem: str) -> Path:
        """The file of that stem; raises InputError where several differ."""
        first, *others = self._paths[stem]
        for other in others:
            if file_digest(other) != file_digest(first):
                raise InputError(f"{first} and {other} differ: remove the one that is wrong")
        return first

    def digest(self, stem: str) -> str:
        """sha256 of the file of that stem; raises InputError where it cannot be read."""
        return file_digest(self.path(stem))

    def same_images(self, stems: Iterable[str]) -> list[list[str]]:
        """Those of the stems whose files hold the same bytes, sorted; only equal sizes are read."""
        by_size = defaultdict(list)
        for stem in stems:
            if stem in self:
                by_size[_size(self._paths[stem][0])].append(stem)
        by_bytes = defaultdict(list)
        for size, alike in by_size.items():
            if size and len(alike) > 1:
                for stem in alike:
                    by_bytes[_digest_or_name(self._paths[stem][0])].append(stem)
        return sorted(sorted(twins) for twins in by_bytes.values() if len(twins) > 1)


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes. Raises InputError naming a file that cannot be read."""
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such image file; check the path")
        found = path.stat()
        return _digest(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


@functools.cache
def _digest(path: Path, *_state: int) -> str:
    """Read once a process while the file's state is the same: no program can set its ctime."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _digest_or_name(path: Path) -> str:
    try:
        return file_digest(path)
    except InputError:
        return str(path)
