"""The folders of a run's checkpoints, one a step: which there are, what they say, which are kept.

A step's folder is named by its number and nothing else. Orbax renames it there once it is complete;
in a bucket it writes there at once, and a marker last: without it a folder does not count.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinflow_jax.checkpoints.checksums import Damaged
from skinflow_jax.errors import InputError
from skinflow_jax.json_file import read_json
from skinflow_jax.storage.paths import files_in, is_bucket, is_file, remove_tree

METADATA = "_CHECKPOINT_METADATA"
COMMITTED = "commit_success.txt"
METRICS = "metrics"
# What the checkpoint says of itself, beside the caller's facts.
_SEAL = "_seal"


@dataclass(frozen=True)
class Retention:
    """Which finished steps stay: the latest `keep`, every `every`-th, the `best` by a metric."""

    keep: int = 2
    every: int | None = None
    best: int = 0
    metric: str | None = None
    best_is_max: bool = True

    def kept(self, metrics: Mapping[int, Mapping[str, float]]) -> set[int]:
        """Of the steps, given with their metrics, those that stay; a tie goes to the later."""
        steps = sorted(metrics)
        values = {step: metrics[step].get(self.metric, math.nan) for step in steps}
        scored = [step for step in steps if not math.isnan(values[step])]
        sign = 1 if self.best_is_max else -1
        scored.sort(key=lambda step: (sign * values[step], step))
        kept = {*_last(steps, self.keep), *_last(scored, self.best)}
        return kept | {step for step in steps if self.every and step % self.every == 0}


def _last(items: list[int], count: int) -> list[int]:
    return items[max(len(items) - count, 0) :]


def step_folders(folder: Path) -> list[int]:
    """Every step that has a folder, in order, whatever is in it; other names are passed over.

    In a bucket, every step that is committed: objects of others are no folder.
    """
    if is_bucket(folder):
        names = [path.parent.name for path in files_in(folder) if path.name == COMMITTED]
    else:
        entries = folder.iterdir() if folder.is_dir() else ()
        names = [entry.name for entry in entries if entry.is_dir()]
    return sorted(int(name) for name in names if _is_step(name))


def finished_steps(folder: Path) -> list[int]:
    """The steps whose folders hold what is written last, in order."""
    steps = step_folders(folder)
    if is_bucket(folder):
        return steps
    return [step for step in steps if (folder / str(step) / METADATA).is_file()]


def check_names(folder: Path) -> None:
    """Raise InputError where a file has the name of a step: that step could not be saved."""
    if is_bucket(folder):
        return
    for entry in folder.iterdir():
        if _is_step(entry.name) and not entry.is_dir():
            raise InputError(
                f"{entry} is a file where a checkpoint's folder would be: move it away"
            )


def remove_leftovers(folder: Path) -> None:
    """Remove what killed saves and killed removals left in `folder`."""
    if is_bucket(folder):
        committed = {str(step) for step in step_folders(folder)}
        names = {path.relative_to(folder).parts[0] for path in files_in(folder)}
        for name in filter(_is_step, names - committed):
            remove_tree(folder / name)
        return
    for pattern in ("*.orbax-checkpoint-tmp*", ".*.removing"):
        for leftover in folder.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


def make_way(folder: Path, step: int) -> None:
    """Take a step out of the list at once, so that a kill leaves no half of it.

    On a disk its files wait in a folder of another name for `remove_leftovers`.
    """
    where = folder / str(step)
    if is_bucket(folder):
        (where / COMMITTED).unlink(missing_ok=True)
        remove_tree(where)
    else:
        shutil.rmtree(_aside(folder, step), ignore_errors=True)
        where.rename(_aside(folder, step))


def remove_step(folder: Path, step: int) -> None:
    """Remove a step and its files."""
    make_way(folder, step)
    if not is_bucket(folder):
        shutil.rmtree(_aside(folder, step))


def _aside(folder: Path, step: int) -> Path:
    return folder / f".{step}.removing"


def sealed(facts: dict[str, Any], **seal: Any) -> dict[str, Any]:
    """`facts`, of JSON types, with what the checkpoint says of itself and their hash.

    Raises ValueError for NaN and infinity, which JSON does not know: it could not be read again.
    """
    facts, seal = json.loads(json.dumps([facts, seal], allow_nan=False))
    return {**facts, _SEAL: {**seal, "facts": _facts_hash(facts, seal)}}


def read_seal(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts of a step's folder and its seal; an old checkpoint has an empty seal.

    Raises Damaged naming the file.
    """
    path = folder / METADATA
    if not is_file(path):
        raise Damaged(f"{path} is missing: the folder is incomplete")
    try:
        facts = read_json(path)["custom_metadata"]
        if _SEAL not in facts:
            return facts, {}
        seal = facts.pop(_SEAL)
        sound = seal.pop("facts") == _facts_hash(facts, seal)
    except (InputError, KeyError, AttributeError, TypeError) as error:
        raise Damaged(f"{path} is damaged: it cannot be read as a checkpoint's facts") from error
    if not sound:
        raise Damaged(f"{path} is damaged: its facts are not those that were saved")
    if str(seal.get("step", folder.name)) != folder.name:
        raise Damaged(f"{folder} was saved as step {seal['step']}: give it its name back")
    return facts, seal


def _facts_hash(facts: dict[str, Any], seal: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([facts, seal], sort_keys=True).encode()).hexdigest()


def _is_step(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 10 and str(int(name)) == name
