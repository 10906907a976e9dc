"""Charts as SVG by pygal, without its style and script: colours are the page's own."""

import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from skinflow_jax.errors import InputError, printable
from skinflow_jax.evaluation.metrics import Estimate
from skinflow_jax.evaluation.report.figures import shown
from skinflow_jax.evaluation.tables import Figure

_WIDTH, _HEIGHT = 560, 330
_LETTERS = 15

# Of each label, where lines do not join points: three for the series, and a gap.
_PLACES = 4
_BESIDE = {1: (1,), 2: (0, 2), 3: (0, 1, 2)}


def check_installed() -> None:
    """Raise InputError, which says how to get it, where pygal is not installed."""
    _pygal()


def shares(
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[Estimate]]],
    *,
    title: str,
    description: str,
    axis: str,
    joined: bool = True,
) -> Markup:
    """Shares in per cent with their intervals: a point for each of `labels`, for each series.

    `joined`: whether a line joins the points. A figure over no cases has no point.
    """
    pygal, style = _pygal()
    chart = pygal.Line(
        width=_WIDTH,
        height=_HEIGHT,
        style=style,
        css=[],
        js=[],
        no_prefix=True,
        show_legend=False,
        disable_xml_declaration=True,
        dots_size=5,
        range=(0, 100),
        y_labels=[{"value": value, "label": f"{value} %"} for value in range(0, 101, 25)],
        x_title=printable(axis),
        margin=8,
        truncate_label=-1,
        stroke=joined,
    )
    # Side by side where no line joins them, so that none hides another's interval.
    places = (0,) * len(series) if joined else _BESIDE[len(series)]
    chart.x_labels = _spread([printable(label) for label in labels], 0 if joined else 1, "", joined)
    for place, (name, row) in zip(places, series, strict=True):
        chart.add(printable(name), _spread([_point(e) for e in row], place, None, joined))
    chart.add_xml_filter(lambda root: _plain(root, title, description))
    return Markup(chart.render(is_unicode=True))


def described(labels, series, **options) -> dict[str, Any]:
    """`shares` as a chart, and as the table that is read in its place."""
    rows = [
        (name, [shown(name, Figure("share %", estimate)) for estimate in row])
        for name, row in series
    ]
    return {"svg": shares(labels, series, **options), "labels": labels, "rows": rows}


def _spread(row: Sequence, place: int, nothing, joined: bool) -> list:
    """`row` on the chart's places, one of each label or `_PLACES`; the first and last are empty."""
    each = 1 if joined else _PLACES
    spread = [nothing] * (1 + each * len(row) + joined)
    spread[1 + place : 1 + each * len(row) : each] = row
    return spread


def _point(estimate: Estimate) -> dict | None:
    if estimate.n == 0:
        return None
    value = {"value": round(100 * estimate.value, 2)}
    if math.isnan(estimate.low):
        return value
    return value | {"ci": {"low": 100 * estimate.low, "high": 100 * estimate.high}}


def _plain(root, title: str, description: str):
    """Leave what draws: no style, script, comment (it has the date), nor places of tooltips."""
    for parent in list(root.iter()):
        for child in list(parent):
            classes = str(child.get("class") or "").split()
            if (
                not isinstance(child.tag, str)
                or child.tag in ("defs", "title", "desc")
                or "tooltip-overlay" in classes
                or "text-overlay" in classes
            ):
                parent.remove(child)
    root.attrib.pop("id", None)
    root.set("role", "img")
    for name, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(name)
        element.text = printable(text)
        root.insert(0, element)
    root.set("aria-label", printable(f"{title}. {description}"))
    return root


def _pygal():
    try:
        import pygal
        from pygal.style import Style
    except ImportError as error:
        raise InputError(
            "a report's charts need pygal: pip install 'skinflow-jax[report]'"
        ) from error
    # Only the sizes count, which the places of letters go by.
    sizes = ("label_font_size", "major_label_font_size", "title_font_size")
    return pygal, Style(**dict.fromkeys(sizes, _LETTERS), font_family="sans-serif")
