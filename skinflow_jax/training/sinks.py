"""What a run writes into its workdir: config, metrics, rollouts, TensorBoard events."""

import contextlib
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skinflow_jax.errors import InputError, printable
from skinflow_jax.json_file import json_line
from skinflow_jax.storage.paths import write_whole
from skinflow_jax.training.event_log import EventLog
from skinflow_jax.training.rollout_lines import group_of

GROUPS_SHOWN = 2


@dataclass(frozen=True)
class Findings:
    """What is seen of a state within a run.

    `figures` join the metrics of the step; `texts`, Markdown, and `images`, uint8 `[N, H, W, 3]`,
    go by their tags to TensorBoard.
    """

    figures: Mapping[str, float]
    texts: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, np.ndarray] = field(default_factory=dict)


_MARKUP = re.compile(r"[^\w\s.,;:?'/%+=-]|_")


class RunWriter:
    """Writes config.json, metrics.jsonl, rollouts.jsonl and tensorboard/ of a run; close it.

    Args:
      workdir: the run's folder; made if missing.
      resume_step: the step of the checkpoint that the run goes on from. Lines of later steps,
        left by the killed run, are dropped; TensorBoard is told to drop its later points. None
        appends to what is there.
      enabled: False on all processes but the first; then nothing is written at all.

    Raises:
      InputError: `workdir` cannot be made, or one of its files holds a line that is not ours.
    """

    def __init__(self, workdir: Path, resume_step: int | None = None, *, enabled: bool = True):
        self._enabled = enabled
        self._workdir = Path(workdir)
        self._open = contextlib.ExitStack()
        if not enabled:
            return
        try:
            self._workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"workdir {workdir}: {error.strerror}; choose another one") from error
        with self._open as opened:
            self._metrics = opened.enter_context(self._lines("metrics.jsonl", resume_step))
            self._rollouts = opened.enter_context(self._lines("rollouts.jsonl", resume_step))
            events = EventLog(self._workdir / "tensorboard", resume_step=resume_step)
            self._events = opened.enter_context(contextlib.closing(events))
            self._open = opened.pop_all()

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending and close the files."""
        self._open.close()

    def flush(self) -> None:
        """Write what is pending."""
        if self._enabled:
            self._events.flush()

    def config(self, config: Mapping[str, Any]) -> None:
        """Write config.json (as run: a resumed run replaces it)."""
        if self._enabled:
            text = json.dumps(_json_ready(config, non_finite=str), indent=2, ensure_ascii=False)
            write_whole(self._workdir / "config.json", text + "\n")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One line of metrics.jsonl and a point of each TensorBoard curve.

        JSON knows no NaN and no infinity: the line has null for them and their number as
        `non_finite`.
        """
        if self._enabled:
            values = {name: float(value) for name, value in values.items()}
            missing = sum(not math.isfinite(value) for value in values.values())
            counted = {"non_finite": missing} if missing else {}
            _write_line(self._metrics, {"step": step, **values, **counted})
            self._events.scalars(step, values)

    def images(self, step: int, tag: str, images: np.ndarray) -> None:
        """Images, uint8 `[N, H, W, 3]`, for TensorBoard."""
        if self._enabled:
            self._events.images(step, tag, np.asarray(images))

    def findings(self, step: int, found: Findings) -> None:
        """Texts and images for TensorBoard; the figures are for `scalars`."""
        if self._enabled:
            for tag, text in found.texts.items():
                self._events.text(step, tag, text)
            for tag, images in found.images.items():
                self._events.images(step, tag, images)

    def rollouts(
        self, step: int, rollouts: Sequence[Mapping[str, Any]], most_groups: int | None = None
    ) -> None:
        """One line of rollouts.jsonl per completion, and the first groups as a TensorBoard table.

        `most_groups`: only so many, the first.

        A rollout has `case_id`, `completion`, `rewards` (by name; None is "not scored"),
        `advantage`, and whatever else should be kept (see `rollout_lines`).
        """
        if self._enabled:
            rollouts = [row for group in _groups(rollouts, most_groups) for row in group]
            for rollout in rollouts:
                _write_line(self._rollouts, {"step": step, **rollout})
            self._events.text(step, "rollouts", rollout_table(rollouts))

    def _lines(self, name: str, resume_step: int | None):
        path = self._workdir / name
        if path.exists():
            _tidy(path, resume_step)
        return path.open("a", encoding="utf-8", buffering=1)


def check_lines(workdir: Path) -> None:
    """Raise InputError naming the first whole line that is not a step's, before a run goes on."""
    for name in ("metrics", "rollouts"):
        path = workdir / f"{name}.jsonl"
        if path.exists():
            with path.open("rb") as lines:
                for row, line in enumerate(lines, 1):
                    if line.endswith(b"\n"):
                        _step_of(line, path, row)


def set_aside(workdir: Path) -> list[str]:
    """Keep the lines of a run that begins anew under other names, which are returned."""
    kept = []
    for name in ("metrics", "rollouts"):
        path = workdir / f"{name}.jsonl"
        if path.exists() and path.stat().st_size:
            numbers = itertools.count(1)
            free = next(t for n in numbers if not (t := workdir / f"{name}.{n}.jsonl").exists())
            path.rename(free)
            kept.append(free.name)
    return kept


def rollout_table(rollouts: Sequence[Mapping[str, Any]], groups: int = GROUPS_SHOWN) -> str:
    """The first groups as a Markdown table."""
    rows = []
    for row in itertools.chain.from_iterable(_groups(rollouts, groups)):
        rewards = ", ".join(f"{name} {_short(v)}" for name, v in row["rewards"].items())
        rows.append((row["case_id"], row["completion"], rewards, _short(row["advantage"])))
    return markdown_table(("case", "completion", "rewards", "advantage"), rows)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, model text shown as written and never rendered."""
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _groups(rollouts: Sequence[Mapping[str, Any]], most: int | None) -> Iterator[list]:
    by_group = itertools.groupby(rollouts, key=group_of)
    return (list(rows) for _, rows in itertools.islice(by_group, most))


def _short(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _cell(value: Any) -> str:
    """Every character with a meaning in Markdown or HTML becomes a numeric entity.

    What cannot be seen, or turns the direction of reading, is shown escaped.
    """
    lines = map(printable, str(value).splitlines())
    return "<br>".join(_MARKUP.sub(lambda match: f"&#{ord(match[0])};", line) for line in lines)


def _write_line(file, row: Mapping[str, Any]) -> None:
    # One write per line: a killed run leaves at most one torn line, the last.
    file.write(json_line(_json_ready(row, non_finite=lambda value: None)) + "\n")


def _json_ready(value: Any, *, non_finite: Callable[[float], Any]) -> Any:
    """`value` in JSON's types; `non_finite` says what stands for NaN and the infinities."""
    if isinstance(value, Mapping):
        return {str(k): _json_ready(v, non_finite=non_finite) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(v, non_finite=non_finite) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _json_ready(value.tolist(), non_finite=non_finite)
    if isinstance(value, float) and not math.isfinite(value):
        return non_finite(value)
    return str(value) if isinstance(value, Path) else value


def _tidy(path: Path, last_step: int | None) -> None:
    """Drop a torn last line, and with `last_step` the lines of later steps."""
    partial = path.with_suffix(".partial")
    with path.open("rb") as lines, partial.open("wb") as kept:
        for row, line in enumerate(lines, 1):
            whole = line.endswith(b"\n")
            if whole and (last_step is None or _step_of(line, path, row) <= last_step):
                kept.write(line)
    os.replace(partial, path)


def _step_of(line: bytes, path: Path, row: int) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}, line {row}: not a JSON object with a step; delete the line, or resume from "
            "a copy of the workdir without this file"
        ) from error
