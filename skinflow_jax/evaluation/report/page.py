"""The page: its sections filled from evaluations, one text that loads nothing.

Text of models, labels and files passes one door, `_text`: it is cut where it is long and what is
not printable is escaped, before Jinja2 escapes what is markup. A content security policy forbids
the browser all but the style and the script of the page itself, by their hashes.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from skinflow_jax.clinical import CLINICAL, Schema
from skinflow_jax.errors import printable
from skinflow_jax.evaluation.figures import TRIVIAL, groups_of
from skinflow_jax.evaluation.metrics import top_k_estimates
from skinflow_jax.evaluation.report import captions, charts, facts, figures, gains, subgroups
from skinflow_jax.evaluation.report.calibration import calibrations
from skinflow_jax.evaluation.report.cases import MOST_SHOWN, OUTCOMES, CaseShown, cases_of
from skinflow_jax.evaluation.report.evaluations import Evaluation, Joined
from skinflow_jax.evaluation.report.gates import gates
from skinflow_jax.evaluation.report.pictures import Picture, attention_uri
from skinflow_jax.evaluation.report.published import ADDRESS, PUBLISHED, SOURCE
from skinflow_jax.evaluation.report.robustness import degraded
from skinflow_jax.evaluation.summary import refusals, unknown_references

MOST_CHARACTERS = 1500
"""Of a text from outside; the rest is counted."""


@dataclass(frozen=True)
class Made:
    """How one evaluation was made, rows of (name, value), and its config as text; "" if unknown."""

    run: str
    rows: Sequence[tuple[str, str]] = ()
    config: str = ""


@dataclass(frozen=True)
class Extras:
    """What a page has beside predictions.

    `pictures`: by case id; `with_images`: whether they were asked for; `data`: what the cases are,
    in words; `notes`: what the reader has to know first.
    """

    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    with_images: bool = False
    data: str = ""
    notes: Sequence[str] = ()
    made: Sequence[Made] = ()
    schema: Schema = CLINICAL


def page(joined: Joined, extras: Extras = Extras()) -> str:
    """The whole page, UTF-8 text; the same evaluations give the same page.

    Raises InputError where pygal, which draws the charts, is not installed.
    """
    charts.check_installed()
    style, script = _asset("style.css"), _asset("script.js")
    return (
        _environment()
        .get_template("page.html")
        .render(
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
            **_content(joined, extras),
        )
    )


def _content(joined: Joined, extras: Extras) -> dict[str, Any]:
    runs = joined.evaluations
    cases = cases_of(joined, extras.schema)
    diagnosed = bool(subgroups.diagnoses(runs[0]))
    return {
        "runs": runs,
        "title": " and ".join(run.name for run in runs),
        "extras": extras,
        "notes": [*joined.notes, *extras.notes],
        "counts": _counts(runs[0], cases),
        "six": figures.first_screen(runs),
        "figures": figures.all_figures(runs),
        "few_note": figures.few_note(),
        "majority": figures.majority(runs[-1].metrics),
        "refused": [(run.name, refusals(run.predictions)) for run in runs],
        "unknown": unknown_references(subgroups.diagnoses(runs[0])),
        "top_k": _top_k_chart(runs) if diagnosed else None,
        "classes": len({p.reference for p in subgroups.diagnoses(runs[0])}),
        "trivial": TRIVIAL,
        "confusions": [(run.name, subgroups.confusions(run)) for run in runs] if diagnosed else [],
        "skin_types": [(run.name, subgroups.by_skin_type(run)) for run in runs],
        "skin_type_columns": subgroups.figure_names(),
        "skin_type_chart": _skin_type_chart(runs) if diagnosed else None,
        "facts": facts.by_facts(runs),
        "fact_columns": facts.COLUMNS,
        "fields": [(run.name, captions.by_field(run, extras.schema)) for run in runs],
        "calibrated": calibrations(runs),
        "degraded": degraded(runs),
        "gates": gates(runs),
        "cases": cases[:MOST_SHOWN],
        "left_out": max(0, len(cases) - MOST_SHOWN),
        "dangerous": [case for case in cases if case.dangerous],
        "outcomes": OUTCOMES,
        "gains": gains.gains_and_losses(joined, cases) if len(runs) > 1 else [],
        "differences": gains.differences(joined) if len(runs) > 1 else [],
        "attention": _attention(runs),
        "published": PUBLISHED,
        "published_source": (SOURCE, ADDRESS),
        "roman": subgroups.ROMAN,
    }


def _counts(run: Evaluation, cases: Sequence[CaseShown]) -> dict[str, Any]:
    groups = set(groups_of(run.predictions))
    tasks = dict.fromkeys(p.task for p in run.predictions)
    return {"cases": len(cases), "groups": len(groups), "tasks": list(tasks)}


def _top_k_chart(runs: Sequence[Evaluation]) -> dict[str, Any]:
    series = []
    for run in runs:
        found = subgroups.diagnoses(run)
        ranks = [p.rank for p in found]
        series.append((run.name, top_k_estimates(ranks, groups=groups_of(found))))
    labels = [str(k) for k in range(1, len(series[0][1]) + 1)]
    return charts.described(
        labels,
        series,
        title="Top-k accuracy",
        description="Share of cases with an accepted diagnosis among the first k, 95 % intervals",
        axis="k, diagnoses that are counted",
    )


def _skin_type_chart(runs: Sequence[Evaluation]) -> dict[str, Any] | None:
    series = [(run.name, subgroups.skin_type_series(run)) for run in runs]
    if not any(estimate.n for _, row in series for estimate in row):
        return None
    return charts.described(
        subgroups.ROMAN,
        series,
        title="Top-1 by skin type",
        description="Share of cases whose first diagnosis is right, by Fitzpatrick's skin type",
        axis="Fitzpatrick's skin type",
        joined=False,
    )


def _attention(runs: Sequence[Evaluation]) -> dict[tuple[int, str], str]:
    """Of evaluation and case id, the overlay as a data URI."""
    return {
        (i, case_id): attention_uri(found)
        for i, run in enumerate(runs)
        if run.attention is not None
        for case_id, found in run.attention.maps.items()
    }


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        finalize=_text,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(value: Any) -> Any:
    """What of `value` is written into the page; what is markup of ours stays as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    if len(value) > MOST_CHARACTERS:
        count = f" … ({len(value):,} characters in all)"
        return f"{printable(value[:MOST_CHARACTERS])}{count}"
    return printable(value)


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
