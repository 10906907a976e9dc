"""Paths that may lie in a bucket, `gs://bucket/run`, taken as Orbax and etils.epath take them.

A bucket holds objects, each written whole, and no folders: nothing there is renamed, appended to or
locked. Of all addresses only `gs://` is known, for which Orbax commits a checkpoint by a marker; in
another store it would rename. docs/storage.md says which files may lie there.
"""

import atexit
import contextlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from skinflow_jax.errors import FAILED_RUN, InputError, exit_code, one_line

_SCHEME = "gs://"
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/|$)")
# pathlib makes one slash of two: an address that went through it is still told from a file's name.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def is_bucket(path: str | os.PathLike) -> bool:
    """Whether `path` lies in a bucket."""
    return os.fspath(path).startswith(_SCHEME)


def address_fault(path: str | os.PathLike, *, bucket: bool) -> str | None:
    """What is wrong with `path`, to follow it in a message; None for what can be used.

    `bucket`: whether it may lie in one. What is no address is not looked at.
    """
    text = os.fspath(path)
    if not _ADDRESS.match(text):
        return None
    if not bucket:
        return (
            "must be on this machine: in a bucket may lie a run's workdir, the checkpoint that is "
            "read and the results of an evaluation"
        )
    if not is_bucket(text):
        return "is no address that can be used: give gs://BUCKET/PATH or a folder on this machine"
    if not _BUCKET.match(text) or ".." in text.split("/"):
        return "names no bucket: give gs://BUCKET/PATH"
    return None


def storage_path(path: str | os.PathLike):
    """`path` as a pathlib.Path, or an etils.epath.Path, which has the same methods, for a bucket.

    Raises InputError for another address, and where the library that reads buckets is missing.
    """
    fault = address_fault(path, bucket=True)
    if fault:
        raise InputError(f"{os.fspath(path)} {fault}")
    return _bucket_path(path) if is_bucket(path) else Path(path)


def local(path: str | os.PathLike, what: str) -> Path:
    """`path` as a file on this machine; raises InputError, naming `what` it is, for an address."""
    fault = address_fault(path, bucket=False)
    if fault:
        raise InputError(f"{what} {os.fspath(path)} {fault}")
    return Path(path)


def _bucket_path(path: str | os.PathLike):
    os.environ.setdefault("EPATH_USE_TF", "false")  # a TensorFlow that happens to be there
    from etils import epath

    try:
        _file_system()
    except ImportError as error:
        raise InputError(f"{os.fspath(path)}: buckets need gcsfs: pip install gcsfs") from error
    return epath.Path(path)


def _file_system():
    """What epath asks of a bucket is asked of this object."""
    import fsspec

    logging.getLogger("gcsfs").disabled = True  # what it meets is raised as well
    # Other programs and processes write there too: what was listed a while ago is not what is.
    fsspec.config.conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
    return fsspec.filesystem("gcs", finalize_on_close=True)


def absolute(path: str | os.PathLike):
    """`storage_path` that does not depend on the current folder."""
    path = storage_path(path)
    return path if is_bucket(path) else path.absolute()


def make_folder(folder: Path) -> None:
    """Make `folder` if it is absent; a bucket has none."""
    if not is_bucket(folder):
        folder.mkdir(parents=True, exist_ok=True)


def files_in(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, or itself where it is one; none where it does not exist.

    A bucket is asked once. Its other questions, `exists` and `is_dir`, answer no where it cannot be
    reached, which must not pass for "no checkpoint".
    """
    if not is_bucket(folder):
        yield from (path for path in folder.rglob("*") if path.is_file())
        return
    for name in _file_system().find(str(folder)):
        if not name.endswith("/"):  # else it is the mark by which consoles make a folder
            yield type(folder)(_SCHEME + name)


def exists(path: Path) -> bool:
    """Whether there is a file or folder of that name."""
    return any(True for _ in files_in(path)) if is_bucket(path) else path.exists()


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; in a bucket, something in it."""
    if is_bucket(path):
        return any(found != path for found in files_in(path))
    return path.is_dir()


def is_file(path: Path) -> bool:
    """Whether there is such a file."""
    return path in files_in(path) if is_bucket(path) else path.is_file()


def size(path: Path) -> int:
    """Bytes of a file."""
    stat = path.stat()
    return stat.length if is_bucket(path) else stat.st_size


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all: as one object, on a disk by a rename."""
    if is_bucket(path):
        path.write_text(text)
        return
    unfinished = path.with_name(f".{path.name}.unfinished")
    with open(unfinished, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def copy_file(source: Path, target: Path) -> None:
    """Copy into or out of a bucket."""
    make_folder(target.parent)
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, 1 << 20)


def remove_tree(folder: Path, *, ignore_errors: bool = False) -> None:
    """Remove all below `folder`; in a bucket one object after the other, and none is no error."""
    if not is_bucket(folder):
        shutil.rmtree(folder, ignore_errors=ignore_errors)
        return
    for path in list(files_in(folder)):
        path.unlink(missing_ok=True)


def fetched(folder: Path) -> Path:
    """A copy, kept until the process ends, of a bucket's `folder`; another one as it is."""
    if not is_bucket(folder):
        return folder
    copy = Path(tempfile.mkdtemp(prefix="skinflow-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for path in files_in(folder):
        copy_file(path, copy / path.relative_to(folder).as_posix())
    return copy


def user_cache(name: str) -> Path:
    """`$XDG_CACHE_HOME/skinflow_jax/NAME`. Raises RuntimeError for a user without a home."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    home = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return home / "skinflow_jax" / name


@contextlib.contextmanager
def reaching(path: Path, kind: type[Exception] = InputError) -> Iterator[None]:
    """A library's error in the block, where `path` is in a bucket, leaves it as one line of `kind`.

    `kind`: RunError where a run under way fails by it.
    """
    try:
        yield
    except Exception as error:
        ours = exit_code(error) is not None and not isinstance(error, OSError)
        if ours or _is_of_this_machine(error) or not is_bucket(path):
            raise
        remedy = "look at the name, the network and what your credentials may do there"
        raise kind(f"{path} cannot be reached ({one_line(error)}): {remedy}") from error


def _is_of_this_machine(error: Exception) -> bool:
    """Whether a disk here failed: such an error names a file, or has the code of a full disk."""
    if not isinstance(error, OSError) or isinstance(error, ConnectionError):
        return False
    return error.filename is not None or exit_code(error) == FAILED_RUN
