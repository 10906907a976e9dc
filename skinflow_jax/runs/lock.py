"""One run writes a workdir at a time, and says so; all of its processes see the same one."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from skinflow_jax.errors import InputError
from skinflow_jax.parallel.agreement import gather, together

FILE = ".lock"
SEEN_WITHIN = 10.0
"""Seconds in which what one machine writes is seen by the others that share its folder."""


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
        holder = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": began,
            "token": secrets.token_hex(8),
        }
        json.dump(holder, file)
        file.flush()
        os.fsync(file.fileno())
        yield


def check_shared(workdir: Path) -> None:
    """Raise InputError, in all processes, unless all see the `workdir` that the first has locked.

    Two machines may each have a folder of that name. Nothing is written.
    """
    if jax.process_count() == 1:
        return
    path = workdir / FILE
    held = gather(path.read_text(encoding="utf-8") if jax.process_index() == 0 else None)[0]
    together(lambda: _wait_until_seen(path, held))


def _wait_until_seen(path: Path, held: str) -> None:
    until = time.monotonic() + SEEN_WITHIN
    while True:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            os.listdir(path.parent)  # else NFS may go on saying that the file is not there
            if path.read_text(encoding="utf-8") == held:
                return
        if time.monotonic() > until:
            raise InputError(
                f"workdir {path.parent} on {socket.gethostname()} is not the folder that process 0 "
                "writes: let all machines share it, or choose a bucket (gs://…)"
            )
        time.sleep(0.2)


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
