"""A folder that appears under its name only when it is whole.

It is written as a hidden sibling, `.NAME.unfinished-ID`, whose lock lives as long as the process
that writes it: so what a killed process left is told from what another one is still writing. For
folders on a file system, where a rename is atomic; a bucket has neither.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from skinflow_jax.errors import InputError, printable

# The second is of records built by earlier versions.
_MARKS = ("unfinished", "building")


class FolderTaken(InputError):
    """Another process has made the folder in the meantime."""


def _warn(text: str) -> None:
    print("skinflow:", printable(text), file=sys.stderr)


def check_vacant(folder: Path) -> None:
    """Raise InputError unless `folder` is absent or empty, so that `whole_folder` may make it."""
    place = _place(folder)
    if not place.is_dir():
        if os.path.lexists(place):
            raise InputError(f"{folder} is there and no folder: choose another name")
        return
    if any(place.iterdir()):
        raise InputError(f"{folder} exists and is not empty: choose another folder or remove it")
    # Neither can be replaced by a rename.
    for is_so, what in ((os.path.ismount, "a mounted disk"), (_is_here, "the current folder")):
        if is_so(place):
            raise InputError(f"{folder} is {what}: name a new folder in it, {folder / 'model'}")


def _place(folder: Path) -> Path:
    """Where links lead: a rename would take the place of a link itself, or of nothing."""
    return Path(os.path.realpath(folder))


def _is_here(folder: Path) -> bool:
    return os.path.samefile(folder, os.curdir)


@contextlib.contextmanager
def whole_folder(
    folder: Path, *, content: str | None = None, say: Callable[[str], None] = _warn
) -> Iterator[Path]:
    """Where to write what becomes `folder` as the block ends; removed if an error ends it.

    `folder` may exist if it is empty. What killed processes left of the same name is removed first,
    and `say` is told. Raises OSError as mkdir and rename do, FolderTaken where another process was
    faster.

    `content`: a hash of what is to be written, for a caller that goes on where it was: what a
    killed process left of the same is given again, and a signal leaves it there.
    """
    folder = _place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    own = _unfinished(folder, content or uuid.uuid4().hex[:8])
    with contextlib.ExitStack() as stack:
        try:
            own.mkdir(exist_ok=content is not None)
            stack.enter_context(_locked(own))
        except BlockingIOError:  # another process writes the same
            own, content = _unfinished(folder, uuid.uuid4().hex[:8]), None
            own.mkdir()
            stack.enter_context(_locked(own))
        remove_leftovers(folder, own, say=say)
        try:
            yield own
            _rename(own, folder)
        except BaseException as error:
            if content is None or isinstance(error, Exception):
                shutil.rmtree(own, ignore_errors=True)
            raise


def _unfinished(folder: Path, key: str) -> Path:
    return folder.with_name(f".{folder.name}.{_MARKS[0]}-{key}")


def _rename(unfinished: Path, folder: Path) -> None:
    try:
        unfinished.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise FolderTaken(
            f"{folder} was made by another process meanwhile: choose another folder"
        ) from error


def remove_leftovers(
    folder: Path, own: Path | None = None, *, say: Callable[[str], None] = _warn
) -> None:
    """Remove what no living process is still writing under the name of `folder`; tell `say`."""
    for entry in sorted(folder.parent.iterdir()):
        if entry == own or not any(
            entry.name.startswith(f".{folder.name}.{mark}-") for mark in _MARKS
        ):
            continue
        with contextlib.suppress(OSError), _locked(entry) as is_dead:
            if is_dead:
                shutil.rmtree(entry)
                say(f"removed {entry}, which a process that was killed had left unfinished")
            else:
                say(f"{entry} may be of a process that was killed: if nothing writes it, remove it")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, which ends with the process. BlockingIOError where another has it.

    False on a file system that knows no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            raise
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(descriptor)
