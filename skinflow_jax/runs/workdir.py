"""A run's workdir, which may lie in a bucket.

Checkpoints are written where the workdir is. All else is written on this machine: in the workdir,
or, since a bucket appends to nothing, in a spool folder. Its files are copied whole into the bucket
before each checkpoint, which then never lacks a line, and at the end; a resume fetches them first.
"""

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import jax

from skinflow_jax.checkpoints.agreement import together
from skinflow_jax.errors import InputError, RunError
from skinflow_jax.runs.lock import FILE as LOCK
from skinflow_jax.runs.lock import check_shared, workdir_lock
from skinflow_jax.storage.paths import (
    copy_file,
    files_in,
    is_bucket,
    reaching,
    remove_tree,
    storage_path,
    user_cache,
)

CHECKPOINTS = "checkpoints"
TOKENIZER = "tokenizer"
SOURCE = "source"
"""The other files of the Hugging Face folder that a run descends from, if it does."""
RECORDS = "records"
EVAL = "eval"
FAILURE = "failure"

# What a run that begins removes or writes over.
_REPLACED = ("config.json", TOKENIZER, SOURCE, "preprocessor_config.json")
# In the bucket and never fetched; here and never sent.
_THERE = (CHECKPOINTS, EVAL, FAILURE)
_HERE = (LOCK, RECORDS)


@dataclass(frozen=True)
class Workdir:
    """Where a run is, `address`, and where it writes what is no checkpoint, `local`.

    The two are one folder unless `address` is in a bucket. As text it is its address.
    """

    address: Path
    local: Path
    _sent: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, workdir: str | os.PathLike) -> "Workdir":
        """Nothing is written. Raises InputError as `storage_path` does."""
        address = storage_path(workdir)
        return cls(address, _spool(address) if is_bucket(address) else address)

    def __str__(self) -> str:
        return str(self.address)

    def check_own(self) -> None:
        """Raise InputError where a run would overwrite or remove what none has written.

        A run that began has left its lock, here; of what is in a bucket nothing says who wrote it.
        """
        begun = (self.local / LOCK).exists() or (self.local / CHECKPOINTS).exists()
        for name in () if begun or self.local != self.address else _REPLACED:
            if (self.local / name).exists():
                raise InputError(
                    f"{self} holds {name}, which no run has written there and one would replace: "
                    "choose another workdir"
                )

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.address / CHECKPOINTS

    @property
    def is_writer(self) -> bool:
        """Whether this process writes in `local`: of those that share the folder one does."""
        return jax.process_index() == 0 or self.local != self.address

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workdir alone, see `workdir_lock`; all processes must ask.

        Raises InputError where it is in use, or where the processes do not share it.
        """
        shared = self.local == self.address
        with contextlib.ExitStack() as lock:
            together(lambda: lock.enter_context(workdir_lock(self.local, enabled=self.is_writer)))
            if shared:
                check_shared(self.local)
            yield

    @contextlib.contextmanager
    def synced(self) -> Iterator[None]:
        """Fetch what the bucket holds; as the block ends, however it does, send what is new.

        Raises InputError where the bucket cannot be reached, RunError at the end.
        """
        self._fetch()
        try:
            yield
        except BaseException:
            try:
                self.send()
            except Exception as failed:  # what ended the run matters more
                print(f"skinflow: {failed}", file=sys.stderr)
            raise
        self.send()

    def remove(self, *names: str) -> None:
        """Remove files and folders that a run left which was killed before its first checkpoint.

        All processes must ask; none writes before all have removed. Raises InputError where the
        bucket cannot be reached.
        """
        together(partial(self._remove, names))

    def _remove(self, names: tuple[str, ...]) -> None:
        with reaching(self.address):
            for name in names:
                if self.is_writer:
                    remove_tree(self.local / name, ignore_errors=True)
                    (self.local / name).unlink(missing_ok=True)
                if jax.process_index() == 0 and self.local != self.address:
                    remove_tree(self.address / name)
        for name in [name for name in self._sent if name.split("/")[0] in names]:
            del self._sent[name]

    def send(self) -> None:
        """Copy what changed into the bucket, from the first process. Raises RunError."""
        if self.local == self.address or jax.process_index() > 0:
            return
        with reaching(self.address, RunError):
            for path in sorted(files_in(self.local)):
                name = path.relative_to(self.local).as_posix()
                state = _state(path)
                if name.split("/")[0] not in _HERE and self._sent.get(name) != state:
                    copy_file(path, self.address / name)
                    self._sent[name] = state

    def _fetch(self) -> None:
        """Let `local` hold what the bucket does, and nothing of a run that was there before."""
        if self.local == self.address:
            return
        self.local.mkdir(parents=True, exist_ok=True)
        for entry in self.local.iterdir():
            if entry.name not in _HERE:
                remove_tree(entry) if entry.is_dir() else entry.unlink()
        with reaching(self.address):
            for path in files_in(self.address):
                name = path.relative_to(self.address)
                if name.parts[0] not in _THERE:
                    copy_file(path, self.local / name.as_posix())
                    self._sent[name.as_posix()] = _state(self.local / name.as_posix())


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _spool(address: Path) -> Path:
    """A folder in the user's cache, of its own for each process of a run."""
    text = str(address).rstrip("/")
    name = re.sub(r"\W+", "-", text.removeprefix("gs://"))[-40:]
    number = f"-{jax.process_index()}" if jax.process_index() else ""
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return user_cache("workdirs") / f"{name}-{digest}{number}"
