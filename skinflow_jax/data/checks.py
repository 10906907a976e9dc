"""Which cases a run can learn from, known before its first step: every target is tokenised once.

A case that has no answer to a task, or one that does not fit, is left out of that task, counted and
listed; it would otherwise stop the run when its batch comes up.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from skinflow_jax.data.buckets import Buckets, Needs, PromptNeeds, misfit
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.tasks import TASKS, prompt_text, target_text
from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.models.config import VlmConfig

_LINES = 5


@dataclass(frozen=True)
class Dropped:
    """A case that is left out of a task, and why."""

    case: str
    task: str
    reason: str


@dataclass(frozen=True)
class Usable:
    """What a run can learn from.

    Attributes:
      pairs: (number of the record, task), sorted.
      needs: what the prompt of each pair needs.
      dropped: the others, by task and record.
    """

    pairs: tuple[tuple[int, str], ...]
    needs: tuple[Needs, ...]
    dropped: tuple[Dropped, ...]

    def summary(self) -> str:
        """How many are left out of each task, and the first of them."""
        count = Counter(entry.task for entry in self.dropped)
        counted = ", ".join(f"{number:,} of the {task} task" for task, number in count.items())
        first = (f"{d.task}, case {d.case}: {d.reason}" for d in self.dropped[:_LINES])
        lines = [f"  {printable(line)}" for line in first]
        if len(self.dropped) > _LINES:
            lines.append(f"  … and {len(self.dropped) - _LINES:,} more")
        return "\n".join([f"left out: {counted or 'nothing'}", *lines])


def report_dropped(usable: Usable, path: Path) -> None:
    """Print the summary and list all in `path`, one JSON object a line; nothing to say, no file."""
    if not usable.dropped:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(entry)) + "\n" for entry in usable.dropped)
    path.write_text("".join(lines), encoding="utf-8")
    print(f"{usable.summary()}\n  all are listed in {printable(str(path))}")


def usable_pairs(
    records: RecordSet,
    tokenizer,
    config: VlmConfig,
    *,
    tasks: Sequence[str],
    buckets: Buckets,
    seed: int,
    targets: bool = True,
    cases_of_task: Mapping[str, int] | None = None,
) -> Usable:
    """The (case, task) pairs that have an answer and fit; reads no pixels.

    Left out are cases without the question or answer that the task asks for, with a prompt or image
    beyond the largest bucket, or (with `targets`) with an answer beyond `completion_length`.
    Arguments as in `make_pipeline`; a task in `cases_of_task` has its first so many usable cases.

    Raises:
      ConfigError: no task, one that is unknown or named twice, a number of cases that is none.
      InputError: a task has no usable case; names the first with its reason.
    """
    limits = _checked_tasks(tasks, cases_of_task or {})
    known = PromptNeeds(tokenizer, config)
    found, dropped = {}, []
    for task in tasks:
        count = 0
        for number in range(len(records)):
            if count == limits.get(task, len(records)):
                break
            case, sizes = records.case(number), records.sizes(number)
            try:
                needed = known.of(prompt_text(task, case, records.schema), sizes)
                reason = misfit(needed, sizes, buckets)
                text = target_text(task, case, records.diagnoses, seed, records.schema)
                if targets:
                    reason = reason or too_long(len(tokenizer.encode(text)) + 1, buckets)
            except InputError as error:
                reason = str(error).removeprefix(f"case {case.case_id}: ")
            if reason:
                dropped.append(Dropped(case.case_id, task, reason))
            else:
                found[number, task], count = needed, count + 1
        if not count and limits.get(task) != 0:
            _refuse(task, len(records), dropped)
    pairs = tuple(sorted(found))
    return Usable(pairs, tuple(found[pair] for pair in pairs), tuple(dropped))


def too_long(target: int, buckets: Buckets) -> str | None:
    """What is wrong with a target of so many tokens, the end of the turn among them; or None."""
    if target <= buckets.completion_length:
        return None
    return (
        f"its target has {target} tokens but completion_length is {buckets.completion_length}; "
        "raise data.completion_length"
    )


def _checked_tasks(tasks: Sequence[str], limits: Mapping[str, int]) -> Mapping[str, int]:
    if not tasks:
        raise ConfigError("data.tasks is empty: name at least one task")
    for task in (*tasks, *limits):
        if task not in TASKS:
            raise ConfigError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")
    if len(set(tasks)) < len(tasks):
        raise ConfigError(f"data.tasks={tuple(tasks)} names a task twice: keep one")
    for task, limit in limits.items():
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise ConfigError(
                f"data.cases_of_task.{task}={limit!r} must be a whole number, 0 or more"
            )
    return limits


def _refuse(task: str, count: int, dropped: Sequence[Dropped]) -> None:
    first = next(entry for entry in dropped if entry.task == task)
    raise InputError(
        f"none of the {count} cases can be used for the {task} task; "
        f"the first, case {first.case}: {first.reason}"
    )
