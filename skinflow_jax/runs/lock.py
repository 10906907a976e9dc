"""One process writes a workdir at a time, and says so."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from skinflow_jax.errors import InputError

FILE = ".lock"


@contextlib.contextmanager
def workdir_lock(workdir: Path, *, enabled: bool = True) -> Iterator[None]:
    """Hold `workdir`, which is made if absent, until the end or the death of this process.

    The kernel gives the lock back when the process dies, by kill -9 too: nothing is left to clean.

    Args:
      workdir: of a run.
      enabled: False on all processes of a run but the first.

    Raises:
      InputError: another process holds it, which is named; or `workdir` cannot be made.
    """
    if not enabled:
        yield
        return
    with _opened(workdir) as file:
        file.seek(0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{workdir} is in use by {_holder(file.read())}: wait for its end, stop it, or "
                "choose another workdir"
            ) from error
        file.seek(0)
        file.truncate()
        began = time.strftime("%Y-%m-%d %H:%M:%S %z")
        json.dump({"process": os.getpid(), "host": socket.gethostname(), "since": began}, file)
        file.flush()
        yield


def _opened(workdir: Path):
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        return open(workdir / FILE, "a+", encoding="utf-8", errors="replace", opener=_from_start)
    except OSError as error:
        raise InputError(f"workdir {workdir}: {error.strerror}; choose another one") from error


def _from_start(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_APPEND, 0o666)


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
