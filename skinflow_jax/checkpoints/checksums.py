"""SHA-256 of every file of a folder, kept in it as `sha256sum` writes them.

`sha256sum --check SHA256SUMS` reads the file too. Its first line is a comment with the sum of the
others, so that damage to the file itself is told from damage to those it lists. OpenSSL's SHA-256
reaches 1.5 GB/s on a core with SHA instructions and 0.4 GB/s without, and lets the threads run.
"""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skinflow_jax.errors import InputError
from skinflow_jax.storage.paths import exists, files_in, is_folder, write_whole

FILE = "SHA256SUMS"
_UNFINISHED = f".{FILE}.unfinished"


class Damaged(InputError):
    """A file, or a folder's content, is not what was written."""


class Unreadable(Damaged):
    """A file that may well be whole cannot be opened: its permissions are wrong."""


def write_checksums(folder: Path) -> None:
    """Sum all files of `folder` into its `SHA256SUMS`, which appears whole or not at all."""
    names = sorted(_files(folder))
    lines = [
        f"{digest}  {name}\n" for name, digest in zip(names, _digests(folder, names), strict=True)
    ]
    write_whole(folder / FILE, _head(lines) + "".join(lines))


def check_files(folder: Path, *, part: int = 0, parts: int = 1) -> bool:
    """Compare the files of `folder` with its sums; False where it has none.

    `part` of `parts`: every `parts`-th file is read, from number `part` on, for processes that
    share the work. A file that was not summed does no harm and is left alone.

    Raises Damaged naming the first file that is missing or changed, OSError where one cannot be
    opened.
    """
    if is_folder(folder / FILE):
        raise Damaged(f"{folder / FILE} is damaged: a folder is in its place")
    if not exists(folder / FILE):
        return False
    expected = read_checksums(folder)
    names = sorted(expected)[part::parts]
    for name, digest in zip(names, _digests(folder, names), strict=True):
        if digest is None:
            raise Damaged(f"{folder / name} is missing")
        if digest != expected[name]:
            raise Damaged(f"{folder / name} is damaged: its content changed after it was saved")
    return True


def read_checksums(folder: Path) -> dict[str, str]:
    """Sum (hexadecimal) by file name. Raises Damaged where the list itself is damaged."""
    path = folder / FILE
    head, *lines = path.read_bytes().decode("utf-8", "replace").splitlines(keepends=True) or [""]
    if head != _head(lines):
        raise Damaged(f"{path} is damaged: its content changed after it was saved")
    return {name: digest for digest, name in (line.rstrip("\n").split("  ", 1) for line in lines)}


def unsummed_files(folder: Path) -> list[str]:
    """Files that are in `folder` but not in its sums."""
    return sorted(set(_files(folder)) - set(read_checksums(folder)))


def _head(lines: Iterable[str]) -> str:
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return f"# SHA-256 of the lines below: {digest}\n"


def _files(folder: Path) -> list[str]:
    names = [path.relative_to(folder).as_posix() for path in files_in(folder)]
    return [name for name in names if name not in (FILE, _UNFINISHED)]


def _digests(folder: Path, names: list[str]) -> Iterable[str | None]:
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        return list(threads.map(lambda name: _digest(folder / name), names))


def _digest(path: Path) -> str | None:
    try:
        digest = hashlib.sha256()
        with path.open("rb") as file:  # a bucket's gives bytes, and little else of a file
            while part := file.read(1 << 20):
                digest.update(part)
        return digest.hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
