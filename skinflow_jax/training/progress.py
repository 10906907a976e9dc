"""Progress of training and of long data work: a bar on a terminal, a line now and then elsewhere.

It goes to stdout, so that stderr holds nothing but errors.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from skinflow_jax.command.standard_output import Console
from skinflow_jax.parallel.peers import moved
from skinflow_jax.parallel.processes import first_process

T = TypeVar("T")

FIGURES = ("loss", "reward", "kl")
SECONDS_BETWEEN_LINES = 30.0
RATE_WINDOW = 50


class Progress:
    """Steps done of `total`, their rate, the time left and a few live figures.

    The rate is that of the last steps and leaves out what comes before the first step ends: that
    one compiles.

    Args:
      title: what is going on.
      total: number of steps, None when unknown.
      start: steps done before (a resumed run).
      unit: what is counted, in the plural.
      figures: names of the metrics to show, where there are any.
      enabled: False shows nothing; default: on the first process only.
      seconds: between two lines when the output is no terminal.
      console: where to; default stdout.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        start: int = 0,
        *,
        unit: str = "steps",
        figures: tuple[str, ...] = FIGURES,
        enabled: bool | None = None,
        seconds: float = SECONDS_BETWEEN_LINES,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.title, self.total, self.done = title, total, start
        self.unit, self._figures, self._clock = unit, figures, clock
        self._shown: dict[str, float] = {}
        self._began = clock()
        self._marks: deque[tuple[float, int]] = deque(maxlen=RATE_WINDOW)
        self._display = None
        if first_process() if enabled is None else enabled:
            console = console or Console()
            self._display = _Bar(console) if _is_terminal(console) else _Lines(console, seconds)

    def __enter__(self) -> "Progress":
        if self._display:
            self._began = self._clock()
            self._display.start(self)
        return self

    def __exit__(self, *exc_info) -> None:
        if self._display:
            self._display.stop(self)

    def advance(self, metrics: Mapping[str, float] | None = None) -> None:
        """One step more; `metrics` may hold anything, the live figures are picked from it."""
        self.update(self.done + 1, metrics=metrics)

    def update(
        self, done: int, total: int | None = None, metrics: Mapping[str, float] | None = None
    ) -> None:
        """`done` steps in all (of `total`, if that is only known now)."""
        moved()
        self.done, self.total = done, self.total if total is None else total
        self._shown |= {name: metrics[name] for name in self._figures if name in (metrics or {})}
        self._marks.append((self._clock(), done))
        if self._display:
            self._display.show(self)

    @property
    def elapsed(self) -> float:
        """Seconds since it was entered."""
        return self._clock() - self._began

    @property
    def rate(self) -> float | None:
        """Steps per second; None before there are two to measure between."""
        if not self._marks:
            return None
        (first, before), (last, done) = self._marks[0], self._marks[-1]
        return (done - before) / (last - first) if last > first else None

    @property
    def counts(self) -> str:
        """Like "40/150"."""
        return f"{self.done}" if self.total is None else f"{self.done}/{self.total}"

    @property
    def pace(self) -> str:
        """Like "3.2/s, 0:34 left"; empty while unknown."""
        rate = self.rate
        if not rate:
            return ""
        pace = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        if self.total is None:
            return pace
        return f"{pace}, {_duration((self.total - self.done) / rate)} left"

    @property
    def figures(self) -> str:
        """Like "loss 0.123 reward 0.53"."""
        return " ".join(f"{name} {value:.3g}" for name, value in self._shown.items())


def track(
    iterable: Iterable[T], description: str, total: int | None = None, **options
) -> Iterator[T]:
    """Pass on the items of `iterable`, showing how far it is; `options` are those of Progress.

    `total` defaults to the length of the iterable, if it has one.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    with Progress(description, total, **{"unit": "items", **options}) as progress:
        for item in iterable:
            yield item
            progress.advance()


@contextlib.contextmanager
def track_counts(description: str, **options) -> Iterator[Callable[[int, int], None]]:
    """A callback `(done, total)` for work that counts by itself; `options` are Progress's."""
    with Progress(description, None, **{"unit": "items", **options}) as progress:
        yield progress.update


class _Figures(ProgressColumn):
    """The only column that gives way on a narrow terminal."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["figures"], no_wrap=True, overflow="ellipsis")


class _Bar:
    def __init__(self, console: Console):
        def whole(template: str) -> TextColumn:
            return TextColumn(template, markup=False, table_column=Column(no_wrap=True))

        self._bar = RichProgress(
            whole("{task.description}"),
            BarColumn(bar_width=10, table_column=Column(no_wrap=True)),
            whole("{task.fields[counts]}"),
            whole("{task.fields[pace]}"),
            _Figures(),
            console=console,
            refresh_per_second=4,
        )

    def start(self, progress: Progress) -> None:
        self._bar.start()
        self._task = self._bar.add_task(progress.title, total=None, **_texts(progress))
        self.show(progress)

    def show(self, progress: Progress) -> None:
        self._bar.update(
            self._task, completed=progress.done, total=progress.total, **_texts(progress)
        )

    def stop(self, progress: Progress) -> None:
        self._bar.update(self._task, **_texts(progress) | {"pace": _duration(progress.elapsed)})
        self._bar.stop()


class _Lines:
    def __init__(self, console: Console, seconds: float):
        self._console, self._seconds, self._last = console, seconds, 0.0

    def start(self, progress: Progress) -> None:
        pass

    def show(self, progress: Progress) -> None:
        if progress.elapsed - self._last >= self._seconds:
            self._last = progress.elapsed
            self._line(progress, progress.pace)

    def stop(self, progress: Progress) -> None:
        self._line(progress, f"after {_duration(progress.elapsed)}")

    def _line(self, progress: Progress, pace: str) -> None:
        parts = (f"{progress.counts} {progress.unit}", pace, progress.figures)
        line = f"{progress.title}: {', '.join(filter(None, parts))}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _texts(progress: Progress) -> dict[str, str]:
    return {name: getattr(progress, name) for name in ("counts", "pace", "figures")}


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _is_terminal(console: Console) -> bool:
    # FORCE_COLOR makes rich call a CI log a terminal; a bar there is a thousand lines.
    return console.is_interactive and console.file.isatty()
