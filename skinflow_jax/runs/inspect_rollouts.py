"""`skinflow inspect --rollouts`: what a run's model wrote and what it was paid, by group.

In the terminal, or as a page; images and prompts come from the records, where they are there.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from skinflow_jax.command.standard_output import Console
from skinflow_jax.errors import ConfigError, printable
from skinflow_jax.runs.rollouts_page import rollouts_page
from skinflow_jax.runs.rollouts_view import (
    ShownGroup,
    choose,
    is_weighted,
    shown_text,
    view_of,
)
from skinflow_jax.storage.paths import reaching, write_whole
from skinflow_jax.training.rollout_lines import FILE, Rollout, RolloutLines

_CHARACTERS = 1_000
"""Of a text in the terminal."""


def inspect_rollouts(
    workdir: Path,
    *,
    step: int | None = None,
    sort: str | None = None,
    task: str | None = None,
    limit: int = 10,
    records: Path | None = None,
    out: Path | None = None,
) -> None:
    """Print groups of a run's rollouts.jsonl, or write them to the page `out`.

    Args:
      workdir: of the run.
      step: only those of this step.
      sort: one of "advantage", "reward" and "length"; by it the groups come, each by its highest
        completion, and in each the completions. By default the newest come first, completions as
        they were sampled.
      task: only those of this task.
      limit: most groups.
      records: as `train --records`; by default those in the workdir, where there are any.
      out: a file that ends in .html; one that is there is replaced.

    Raises:
      InputError: there are no rollouts, or none of the step or task; `records` holds none.
      ConfigError: `out` is no name of a page.
    """
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out={out} must end in .html: it is a page")
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"--out={out}: make its folder first")
    with reaching(workdir):
        lines = RolloutLines(workdir / FILE)
        chosen = choose(lines, step, task, sort, limit)
    view = view_of(lines, chosen, step, workdir, records)
    if out is None:
        console = Console()
        for each in view.groups:
            console.print(_told(each))
        _print_lines([view.count, *view.notes])
        return
    write_whole(out, rollouts_page(view))
    _print_lines([view.count, *view.notes, f"written: {out}"])
    images = sum(len(each.images) for each in view.groups)
    if images:
        print(f"it holds {images:,} images of the data: keep it where the data may be")


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(printable(line))


def _told(shown: ShownGroup) -> RenderableType:
    """A group for the terminal."""
    group = shown.group
    head = Text(f"step {group.step} · {_line(group.task)} · {_line(group.case_id)}", "bold")
    if group.number is not None:
        head.append(f" · group {group.number}")
    lines = [head]
    for name, text in (("prompt", shown.prompt), ("reference", group.reference)):
        if text:
            lines.append(Text.assemble((f"{name}: ", "dim"), _text(text)))
    if shown.images:
        sizes = ", ".join(f"{image.shape[1]} × {image.shape[0]}" for image in shown.images)
        lines.append(Text.assemble(("image: ", "dim"), f"{sizes} pixels, in a page by --out"))
    weighted = is_weighted(group.rollouts)
    written = (_written(rollout, weighted) for rollout in group.rollouts)
    return Group(*lines, *itertools.chain.from_iterable(written), "")


def _written(rollout: Rollout, weighted: bool) -> tuple[RenderableType, RenderableType]:
    """What a completion was paid, and below it what it says."""
    advantage = "-" if rollout.advantage is None else f"{rollout.advantage:+.3f}"
    figures = [f"{_line(n)} {v:.3f}" for n, v in rollout.rewards.items() if v is not None]
    if weighted and rollout.reward is not None:
        figures.append(f"in all {rollout.reward:.3f}")
    if rollout.tokens is not None:
        figures.append(f"{rollout.tokens:,} tokens")
    head = Text.assemble((f"{advantage:>8}", "bold"), "  ", (", ".join(figures), "dim"))
    return head, Padding(_text(rollout.text), (0, 0, 0, 10))


def _line(text: str) -> str:
    return shown_text(text.replace("\n", "\\n"), 120)


def _text(text: str) -> Text:
    """What a model or person wrote, as it stands, for the terminal."""
    return Text(shown_text(text, _CHARACTERS))
