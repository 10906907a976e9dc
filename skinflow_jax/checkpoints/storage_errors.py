"""What a checkpoint library's errors mean: a full disk is not "out of memory"."""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from skinflow_jax.errors import FAILED_RUN, InputError, RunError, exit_code, one_line
from skinflow_jax.storage.paths import is_bucket

_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of your quota there",
    errno.EROFS: "mount it for writing, or choose another folder",
    errno.EACCES: "change its permissions, or choose another folder",
    errno.EPERM: "change its permissions, or choose another folder",
    errno.EIO: "look at the disk or file server",
    errno.ESTALE: "look at the file server",
    errno.EFBIG: "the disk or the limit of file size (ulimit -f) allows no larger one",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def cause(error: Exception, folder: Path) -> Exception | None:
    """The failure of the storage behind `error`, in one line; None where it is another.

    Orbax and TensorStore put it into texts of their own. A RunError (exit 1), or an InputError (2)
    where the folder cannot be used.
    """
    for link in _chain(error):
        for code, remedy in _REMEDIES.items():
            if _is(link, code):
                kind = RunError if exit_code(OSError(code, "")) == FAILED_RUN else InputError
                return kind(f"{_named(link, folder)}: {os.strerror(code).lower()}: {remedy}")
    return None


def is_ours(error: Exception) -> bool:
    """Whether `error` says all it has to: one of this program's, or one of memory."""
    if exit_code(error) is not None:
        return not isinstance(error, OSError)
    return isinstance(error, MemoryError)


def explained(error: Exception, folder: Path) -> Exception:
    """`error`, met while writing in `folder`, as one that a person can act on."""
    if is_ours(error):
        return error
    told = cause(error, folder)
    if told is not None:
        return told
    named = isinstance(error, OSError) and not is_bucket(folder)
    if named or "RESOURCE_EXHAUSTED" in str(error):
        return error
    return RunError(f"{folder}: a checkpoint could not be written ({one_line(error)})")


@contextlib.contextmanager
def explaining(folder: Path) -> Iterator[None]:
    """Errors of the block leave it `explained`."""
    try:
        yield
    except Exception as error:
        told = explained(error, folder)
        if told is error:
            raise
        hush_abandoned_work()
        raise told from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is(error: BaseException, code: int) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == code
    text = str(error)
    return os.strerror(code) in text or f"os_error_code='{code}'" in text


def _named(error: BaseException, folder: Path) -> Path | str:
    return getattr(error, "filename", None) or folder


def hush_abandoned_work() -> None:
    """After a failure: drop what is said from now on of the reads and writes left beside it.

    Orbax's threads log the same failure once more when it has long been raised here. Other reads
    end when they are collected, with errors that nobody awaits, on an event loop closed by then.
    """
    if getattr(sys.unraisablehook, "of_checkpoints", False):
        return
    before = sys.unraisablehook

    def hook(unraisable) -> None:
        if not _is_abandoned(f"{unraisable.object!r} {unraisable.exc_value}"):
            before(unraisable)

    hook.of_checkpoints = True
    sys.unraisablehook = hook
    SilentThreads().__enter__()
    logging.getLogger("asyncio").addFilter(lambda record: not _is_abandoned(record.getMessage()))


def _is_abandoned(text: str) -> bool:
    signs = ("_device_put", "_wrap_awaitable", "orbax", "tensorstore", "Event loop is closed")
    signs += ("LimitInFlightBytes", "Condition.wait")  # writes that waited for their turn
    return any(sign in text for sign in signs)


def _is_within_orbax() -> bool:
    frame = sys._getframe()
    while frame is not None and "orbax" not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None


class SilentThreads(logging.Filter):
    """While active, what Orbax logs of an error is dropped: it is raised here as well."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for warnings and errors that are logged from Orbax's own files.

        The record itself names absl's file where its logger was asked for before absl was imported.
        """
        return record.levelno < logging.WARNING or not (
            "orbax" in record.pathname or _is_within_orbax()
        )

    def __enter__(self) -> "SilentThreads":
        logging.getLogger("absl").addFilter(self)
        return self

    def __exit__(self, *_) -> None:
        logging.getLogger("absl").removeFilter(self)
