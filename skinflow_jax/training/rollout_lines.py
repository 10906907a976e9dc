"""`rollouts.jsonl` read back, whatever its size: what is held is one group and a count by step."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinflow_jax.errors import InputError

FILE = "rollouts.jsonl"
_NAMED = 3
_STEP_FIRST = b'{"step": '


@dataclass(frozen=True)
class Rollout:
    """One line: a completion and what it was paid.

    Attributes:
      text: as the model wrote it.
      rewards: by name; None is "not scored".
      advantage: within its group; None where it was not finite.
      reward: the weighted sum of the rewards; lines of earlier versions lack it, and None.
      tokens: sampled, the end token's included; lines of earlier versions lack it, and None.
    """

    text: str
    rewards: Mapping[str, float | None]
    advantage: float | None
    reward: float | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class RolloutGroup:
    """The completions of one prompt in one step.

    `number` is the prompt's within the step, `reference` what the answers were compared with; lines
    of earlier versions lack both, and None.
    """

    step: int
    case_id: str
    task: str
    rollouts: tuple[Rollout, ...]
    number: int | None = None
    reference: str | None = None


class RolloutLines:
    """The lines of a run's rollouts.jsonl that count; what does not is counted and named.

    The file is read once here, and once more by each `groups`. Lines that are added meanwhile, by
    a run under way, are not looked at.

    Attributes:
      path: the file.
      steps: lines by step.
      tasks: those that there are.

    Raises:
      InputError: there is no such file, or no rollout in it.
    """

    def __init__(self, path: Path):
        self.path = path
        self.steps: Counter[int] = Counter()
        self.tasks: set[str] = set()
        self._total, self._torn, self._bad, self._bad_count, self._again = 0, False, [], 0, 0
        # (line at which the steps go back, step to which): a resumed run began there.
        self._restarts: list[tuple[int, int]] = []
        self._read()
        if not self.steps:
            notes = "; ".join(self.notes())
            raise InputError(
                f"{path} holds no rollout{notes and f' ({notes})'}: grpo writes the first after a "
                "step, sft none"
            )

    def groups(self, step: int | None = None, task: str | None = None) -> Iterator[RolloutGroup]:
        """Those of a step and a task, or of all, in the order of the file."""
        by_group = itertools.groupby(self._rows(step), key=lambda row: (row["step"], group_of(row)))
        for _, lines in by_group:
            group = _group(list(lines))
            if task in (None, group.task):
                yield group

    def notes(self) -> list[str]:
        """In words what is left out."""
        lines = []
        if self._torn:
            lines.append(
                f"line {self._total:,} is cut off: the run was killed while it wrote it, or "
                "writes it now; 1 line left out"
            )
        if self._bad_count:
            named = ", ".join(f"{row:,}" for row in self._bad)
            more = ", …" if self._bad_count > len(self._bad) else ""
            lines.append(f"{self._bad_count:,} left out that are no rollouts: line {named}{more}")
        if self._again:
            lines.append(
                f"{self._again:,} left out of steps that a resumed run wrote again, further down"
            )
        return lines

    def _read(self) -> None:
        last = None
        for row, line in self._lines():
            found = _parsed(line)
            if found is None:
                self._bad_count += 1
                self._bad += [row] if len(self._bad) < _NAMED else []
                continue
            step = found["step"]
            if last is not None and step < last:
                self._restarts.append((row, step))
                for gone in [old for old in self.steps if old >= step]:
                    self._again += self.steps.pop(gone)
            self.steps[step] += 1
            self.tasks.add(_task(found))
            last = step

    def _rows(self, wanted: int | None) -> Iterator[dict[str, Any]]:
        # For each restart the lowest step that it or a later one goes back to.
        back = list(itertools.accumulate((step for _, step in reversed(self._restarts)), min))
        following = 0
        for row, line in self._lines():
            while following < len(back) and self._restarts[following][0] <= row:
                following += 1
            if wanted is not None and _other_step(line, wanted):
                continue
            found = _parsed(line)
            if found is None or wanted not in (None, found["step"]):
                continue
            if following == len(back) or found["step"] < back[-1 - following]:
                yield found

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """(number, line) of the whole ones, those that were there at first."""
        try:
            with self.path.open("rb") as lines:
                known = self._total or None
                for row, line in enumerate(itertools.islice(lines, known), 1):
                    self._total = max(row, self._total)
                    self._torn = not line.endswith(b"\n")
                    if not self._torn:
                        yield row, line
        except FileNotFoundError as error:
            raise InputError(f"{self.path} does not exist: grpo writes one, sft none") from error


def group_of(row: Mapping[str, Any]) -> tuple:
    """What the rows of a group, which stand together, have in common within a step."""
    # Lines of earlier versions have no number: two groups in a row of one case become one.
    return row.get("group"), row["case_id"], row.get("task")


def _other_step(line: bytes, wanted: int) -> bool:
    """Whether the line, as we write it, is certainly of another step: most need no parsing."""
    return line.startswith(_STEP_FIRST) and not line.startswith(b'{"step": %d,' % wanted)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None where it is no rollout."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    rewards = row.get("rewards")
    right = (
        _is(int, row.get("step"))
        and isinstance(row.get("case_id"), str)
        and isinstance(row.get("completion"), str)
        and isinstance(row.get("task"), str | None)
        and _is(int | None, row.get("group"))
        and isinstance(rewards, dict)
        and all(_is(float | int | None, value) for value in rewards.values())
    )
    return row if right else None


def _is(kind, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _task(row: Mapping[str, Any]) -> str:
    return row.get("task") or ""


def _group(rows: list[dict[str, Any]]) -> RolloutGroup:
    first = rows[0]
    reference = first.get("reference")
    return RolloutGroup(
        *(first["step"], first["case_id"], _task(first)),
        tuple(map(_rollout, rows)),
        first.get("group"),
        reference if isinstance(reference, str) else None,
    )


def _rollout(row: Mapping[str, Any]) -> Rollout:
    rewards = {name: _number(value) for name, value in row["rewards"].items()}
    tokens = row.get("tokens")
    return Rollout(
        *(row["completion"], rewards, _number(row.get("advantage")), _number(row.get("reward"))),
        tokens if _is(int, tokens) else None,
    )


def _number(value: Any) -> float | None:
    """A finite number; of others None."""
    try:
        found = float(value) if _is(float | int, value) else math.nan
    except OverflowError:  # a whole number of hundreds of digits
        found = math.nan
    return found if math.isfinite(found) else None
