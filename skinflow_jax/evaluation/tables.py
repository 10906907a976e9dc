"""Figures as tables: for the console by rich, and as Markdown; both from the same rows of text.

A figure of few groups bears a sign, which a line under the table explains.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from skinflow_jax.evaluation.metrics import FEW, Estimate, PairedDifference, mcnemar_p_value

MISSING = "n/a"
FEW_SIGN = "†"


@dataclass(frozen=True)
class Figure:
    """A row: a share of cases (shown in per cent) or, with `percent=False`, a mean score."""

    label: str
    estimate: Estimate
    percent: bool = True


@dataclass(frozen=True)
class Stage:
    """A column of the closing table: what the model reached after one stage."""

    name: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Comparison:
    """What changed between two stages, like "Stage I - warm-up, caption reward"."""

    label: str
    difference: PairedDifference
    percent: bool = True


def evaluation_table(figures: Sequence[Figure], *, title: str | None = None) -> RenderableType:
    """One evaluation: metric, value, 95 % interval, n; below it what n and signs mean."""
    notes = map(Text, _notes(f.estimate for f in figures))
    return Group(rich_table(*_evaluation_rows(figures), title), *notes)


def evaluation_markdown(figures: Sequence[Figure]) -> str:
    """The same as Markdown."""
    lines = _listed(_notes(f.estimate for f in figures))
    return markdown_table(*_evaluation_rows(figures)) + lines


def stages_table(
    stages: Sequence[Stage], comparisons: Sequence[Comparison] = (), *, title: str | None = None
) -> RenderableType:
    """The closing table: a row per figure, a column per stage, then a line per comparison."""
    lines = map(Text, _stage_notes(stages, comparisons) + comparison_lines(comparisons))
    return Group(rich_table(*_stage_rows(stages), title), *lines)


def stages_markdown(stages: Sequence[Stage], comparisons: Sequence[Comparison] = ()) -> str:
    """The same as a Markdown table and a list."""
    lines = _stage_notes(stages, comparisons) + comparison_lines(comparisons)
    return markdown_table(*_stage_rows(stages)) + _listed(lines)


def _listed(lines: Sequence[str]) -> str:
    return "\n" + "".join(f"\n* {line}" for line in lines) if lines else ""


def _stage_notes(stages: Sequence[Stage], comparisons: Sequence[Comparison]) -> list[str]:
    figures = [figure.estimate for stage in stages for figure in stage.figures]
    return _notes([*figures, *(c.difference for c in comparisons)])


def _notes(estimates: Iterable[Estimate | PairedDifference]) -> list[str]:
    """What the intervals go by, where that is not the cases, and what the sign means."""
    estimates = list(estimates)
    pairs = dict.fromkeys((e.groups, e.n) for e in estimates if e.groups not in (None, e.n))
    lines = []
    if pairs:
        counts = ", ".join(f"{groups:,} of {n:,} cases" for groups, n in pairs)
        lines.append(f"intervals by group (patient, lesion): {counts}")
    if any(estimate.few for estimate in estimates):
        lines.append(f"{FEW_SIGN} fewer than {FEW} cases or groups: hardly anything is known")
    return lines


def comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Difference, 95 % interval, cases that went up and down, and whether zero is left out."""
    return [_comparison_line(comparison) for comparison in comparisons]


def _comparison_line(comparison: Comparison) -> str:
    change = comparison.difference
    if change.n == 0:
        return f"{comparison.label}: no cases to compare"
    number = _signed_points if comparison.percent else _signed
    unit = " points" if comparison.percent else ""
    ends = f"{number(change.low)}, {number(change.high)}"
    line = (
        f"{comparison.label}: {number(change.mean)}{unit} "
        f"[{MISSING if math.isnan(change.low) else ends}], "
        f"{change.gained} gained, {change.lost} lost of {counted(change)}"
    )
    if comparison.percent:
        line += f", McNemar p {_p_value(mcnemar_p_value(change.gained, change.lost))}"
    return f"{line}; beyond the interval: {'yes' if change.beyond_interval else 'no'}"


def _evaluation_rows(figures: Sequence[Figure]) -> tuple[list[str], list[list[str]]]:
    header = ["metric", "value", "95 % interval", "n"]
    return header, [[f.label, _value(f), _interval(f), counted(f.estimate)] for f in figures]


def _stage_rows(stages: Sequence[Stage]) -> tuple[list[str], list[list[str]]]:
    by_stage = [{figure.label: figure for figure in stage.figures} for stage in stages]
    labels = dict.fromkeys(label for figures in by_stage for label in figures)
    rows = [
        [label, *(_stage_cell(figures.get(label)) for figures in by_stage), _cases(by_stage, label)]
        for label in labels
    ]
    return ["metric", *(stage.name for stage in stages), "n"], rows


def _stage_cell(figure: Figure | None) -> str:
    if figure is None or figure.estimate.n == 0:
        return MISSING
    estimate = figure.estimate
    number = _share if figure.percent else _score
    if math.isnan(estimate.low):
        return f"{number(estimate.value)} [{MISSING}]"
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def _share(value: float) -> str:
    return "100" if value == 1 else f"{100 * value:.1f}"


def _score(value: float) -> str:
    # Without the leading zero three stages fit into 80 columns.
    return f"{value:.3f}".replace("0.", ".", 1)


def _cases(by_stage: Sequence[dict[str, Figure]], label: str) -> str:
    counts = [counted(figures[label].estimate) for figures in by_stage if label in figures]
    return "/".join(dict.fromkeys(counts))


def counted(estimate: Estimate | PairedDifference) -> str:
    """The number of cases, with the sign where there are few."""
    return f"{estimate.n}{FEW_SIGN if estimate.few else ''}"


def shown(figure: Figure) -> str:
    """Value and interval, for a line of words."""
    return f"{_value(figure)} {_interval(figure)}"


def _value(figure: Figure) -> str:
    return _number(figure, figure.estimate.value)


def _interval(figure: Figure) -> str:
    if math.isnan(figure.estimate.low):
        return MISSING
    ends = (figure.estimate.low, figure.estimate.high)
    return "[" + ", ".join(_number(figure, end) for end in ends) + "]"


def _number(figure: Figure, value: float) -> str:
    if figure.estimate.n == 0:
        return MISSING
    return f"{100 * value:.1f}" if figure.percent else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _signed_points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _p_value(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"= {p:.4f}"


def rich_table(header: list[str], rows: list[list[str]], title: str | None) -> Table:
    """Rows of text for the console: the first column to the left, the others to the right."""
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column(header[0], no_wrap=True)
    for name in header[1:]:
        table.add_column(Text(name), justify="right")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: "[62.1, 74.0]" is no markup
    return table


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """The same rows as Markdown."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))
