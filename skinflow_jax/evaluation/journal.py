"""The predictions of finished batches on disk, so that an evaluation that was killed goes on.

A line says what is evaluated and by what, then comes one for each batch, appended as it ends. The
file is read only where that first line is the same word for word.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from skinflow_jax.evaluation.prediction_rules import check_values, contradiction
from skinflow_jax.evaluation.predictions import VERSION, Prediction
from skinflow_jax.parallel.agreement import by_the_first
from skinflow_jax.storage.paths import make_folder, write_whole

FILE = "predictions.partial.jsonl"

Batches = dict[tuple[str, int], list[Prediction]]


class Journal:
    """Predictions by part of the evaluation and number of the batch; all processes make one alike.

    The first process reads and writes the file `path`; what it found all have. `identity`: JSON
    values by name, of all that an answer depends on. `said`: what became of an earlier file, ""
    where there was none. Not in a bucket, whose files cannot be appended to.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]):
        self._path, self._writes = path, jax.process_index() == 0
        self._done, self.said = by_the_first(lambda: _opened(path, identity))

    def batch(self, part: str, number: int) -> list[Prediction] | None:
        """The predictions of a batch that was finished before."""
        return self._done.get((part, number))

    def finished(self, part: str, number: int, predictions: Sequence[Prediction]) -> None:
        """Keep the predictions of a batch."""
        if self._writes:
            row = {"part": part, "batch": number, "predictions": [vars(p) for p in predictions]}
            with self._path.open("a", encoding="ascii") as file:
                file.write(json.dumps(row, allow_nan=False) + "\n")

    def remove(self) -> None:
        """The evaluation is written: nothing is left to go on with."""
        if self._writes:
            self._path.unlink(missing_ok=True)


def _opened(path: Path, identity: Mapping[str, Any]) -> tuple[Batches, str]:
    """What the file holds of this evaluation, after the rest of it is taken out."""
    head = json.dumps({"version": VERSION, **identity})
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    done, said, kept = {}, "", [head]
    if lines and lines[0] != head:
        said = f"{path} is of {_others(lines[0], identity)}: begun anew"
    elif lines:
        whole = [line for line in lines[1:] if line]
        for line in whole:
            try:
                key, predictions = _read(line)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                break  # what was written after a damaged line is not trusted
            done[key] = predictions
            kept.append(line)
        said = f"going on after {len(done):,} finished batches of {path}"
        if len(kept) - 1 < len(whole):
            said += f"; {len(whole) - len(kept) + 1:,} lines from a damaged one on are left out"
    make_folder(path.parent)
    write_whole(path, "".join(f"{line}\n" for line in kept))
    return done, said


def _read(line: str) -> tuple[tuple[str, int], list[Prediction]]:
    """Raises where it is no line that `Journal.finished` writes, whole."""
    row = json.loads(line)
    predictions = []
    for found in row["predictions"]:
        check_values(found, "")  # an InputError is a ValueError
        predictions.append(Prediction(**found))
        if wrong := contradiction(predictions[-1]):
            raise ValueError(wrong)
    if type(row["part"]) is not str or type(row["batch"]) is not int:
        raise ValueError("part or batch")
    return (row["part"], row["batch"]), predictions


def _others(head: str, identity: Mapping[str, Any]) -> str:
    """In words whose a file is that is not this evaluation's."""
    try:
        before = json.loads(head)
        differing = [name for name, value in identity.items() if before.get(name) != value]
    except (ValueError, AttributeError, RecursionError):
        differing = []
    return f"another evaluation (other {', '.join(differing)})" if differing else "another program"
