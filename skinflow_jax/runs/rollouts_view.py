"""Which groups of a run's rollouts are looked at, and what the records know of their cases."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skinflow_jax.data.case_lookup import CaseLookup
from skinflow_jax.data.pipeline import example_of
from skinflow_jax.data.sources.case import MARK
from skinflow_jax.errors import InputError, printable
from skinflow_jax.runs.workdir import RECORDS
from skinflow_jax.training.rollout_lines import Rollout, RolloutGroup, RolloutLines

_LEAST = -math.inf


@dataclass(frozen=True)
class ShownGroup:
    """A group with what the records know of its case: None and () where they do not."""

    group: RolloutGroup
    prompt: str | None = None
    images: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class RolloutsView:
    """What is shown of a run: `groups`, of `found` that were asked for, and `notes` on the rest."""

    run: str
    groups: Sequence[ShownGroup]
    found: int
    steps: str
    notes: Sequence[str]

    @property
    def count(self) -> str:
        """How many of how many groups these are."""
        more = "" if len(self.groups) == self.found else "; --limit=N shows more"
        return f"{len(self.groups):,} of {self.found:,} groups of {self.steps}{more}"


def _length(rollout: Rollout) -> float:
    return len(rollout.text) if rollout.tokens is None else rollout.tokens


def _reward(rollout: Rollout) -> float:
    """Of lines of earlier versions, which do not say the weighted sum, the plain one."""
    if rollout.reward is not None:
        return rollout.reward
    scored = [value for value in rollout.rewards.values() if value is not None]
    return sum(scored) if scored else _LEAST


def _advantage(rollout: Rollout) -> float:
    return _LEAST if rollout.advantage is None else rollout.advantage


ORDERS: dict[str, Callable[[Rollout], float]] = {
    "advantage": _advantage,
    "reward": _reward,
    "length": _length,
}
"""What groups and completions can be sorted by, the highest first; a length is in tokens."""


def choose(
    lines: RolloutLines, step: int | None, task: str | None, sort: str | None, limit: int
) -> tuple[list[RolloutGroup], int]:
    """The groups to show, and of how many."""
    if step is not None and step not in lines.steps:
        raise InputError(f"{lines.path} has no step {step}: it has {ranges(lines.steps)}")
    count = itertools.count()

    def place(group: RolloutGroup) -> tuple[float, int]:
        value = 0.0 if sort is None else max(map(ORDERS[sort], group.rollouts))
        return value, next(count)

    found = heapq.nlargest(limit, lines.groups(step, task), key=place)
    if not found:
        there = ", ".join(sorted(lines.tasks))
        where = "" if step is None else f" in step {step}"
        raise InputError(f"{lines.path} has no rollout of task {task}{where}: it has {there}")
    if sort is not None:
        found = [
            replace(g, rollouts=sorted(g.rollouts, key=ORDERS[sort], reverse=True)) for g in found
        ]
    return found, next(count)


def view_of(
    lines: RolloutLines,
    chosen: tuple[list[RolloutGroup], int],
    step: int | None,
    workdir: Path,
    records: Path | None,
) -> RolloutsView:
    """Chosen groups with prompts and images from `records`, by default those in the workdir."""
    groups, found = chosen
    notes, lookup = lines.notes(), None
    if records is not None or (workdir / RECORDS).is_dir():
        lookup = CaseLookup(records or workdir / RECORDS)
    shown = [_with_records(group, lookup) for group in groups]
    missing = sum(not each.images for each in shown)
    if lookup is None:
        notes.append(f"no images, no prompts: {workdir} holds no records, give --records=FOLDER")
    elif missing:
        notes.append(
            f"{missing:,} of these groups have no image: in the records their cases are absent or "
            "have another reference, so these are not the run's records"
        )
    steps = ranges(lines.steps) if step is None else f"step {step}"
    return RolloutsView(str(workdir), shown, found, steps, notes)


def _with_records(group: RolloutGroup, lookup: CaseLookup | None) -> ShownGroup:
    found = None if lookup is None else lookup.find(group.case_id)
    if found is None:
        return ShownGroup(group)
    records, record = found
    try:
        example = example_of(record.case, group.task, record.images, records.schema)
    except (InputError, KeyError):  # a task that this program or case does not have
        return ShownGroup(group, None, record.images)
    if group.reference is None:  # a line of an earlier version
        group = replace(group, reference=example.reference)
    elif group.reference != example.reference:
        return ShownGroup(group)
    return ShownGroup(group, example.prompt.replace(MARK, ""), record.images)


def ranges(steps: Iterable[int]) -> str:
    """Steps in words: "steps 1-24, 26", or "step 7"; the middle of many ranges is left out."""
    found: list[list[int]] = []
    for step in sorted(steps):
        if found and step == found[-1][1] + 1:
            found[-1][1] = step
        else:
            found.append([step, step])
    words = [f"{first}-{last}" if last > first else f"{first}" for first, last in found]
    if len(words) > 12:
        words = [*words[:9], "…", *words[-2:]]
    one = len(found) == 1 and found[0][0] == found[0][1]
    return f"step{'' if one else 's'} {', '.join(words)}"


def part_names(rollouts: Sequence[Rollout]) -> list[str]:
    """The rewards that score any of these completions."""
    names = dict.fromkeys(itertools.chain.from_iterable(r.rewards for r in rollouts))
    return [n for n in names if any(r.rewards.get(n) is not None for r in rollouts)]


def is_weighted(rollouts: Sequence[Rollout]) -> bool:
    """Whether the reward of any of them is told and is another one than that of a single part."""
    parts = part_names(rollouts)
    return any(
        r.reward is not None and (len(parts) != 1 or r.reward != r.rewards.get(parts[0]))
        for r in rollouts
    )


def number(value: float | None) -> str:
    """Three decimals; "-" for None."""
    return "-" if value is None else f"{value:.3f}"


def shown_text(text: str, most: int) -> str:
    """At most so many characters, by lines; what is not printable is shown escaped."""
    rest = len(text) - most
    shown = "\n".join(map(printable, text[:most].split("\n")))
    return f"{shown}… ({rest:,} more characters)" if rest > 0 else shown
