"""The tables as a reader sees them: on 80 columns, in a pipe, as Markdown."""

import io
import math
import re

import pytest
from rich.console import Console

from skinflow_jax.evaluation.metrics import Estimate, PairedDifference
from skinflow_jax.evaluation.tables import (
    Comparison,
    Figure,
    Stage,
    evaluation_markdown,
    evaluation_table,
    stages_markdown,
    stages_table,
)

NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def stage(name, reward, share):
    return Stage(
        name,
        (
            Figure("caption reward", Estimate(reward, reward - 0.03, reward + 0.03, 300), False),
            Figure("valid captions %", Estimate(1.0, 1.0, 1.0, 300)),
            *(
                Figure(f"Top-{k + 1} %", Estimate(share + k / 10, share, share + 0.55, 300))
                for k in range(6)
            ),
            Figure("safety-critical %", Estimate(0.21, 0.16, 0.26, 300)),
        ),
    )


STAGES = [stage("warm-up", 0.512, 0.2), stage("Stage I", 0.634, 0.21), stage("Stage II", 0.62, 0.3)]
COMPARISONS = [
    Comparison(
        "Stage I - warm-up, caption reward",
        PairedDifference(0.1224, 0.1011, 0.1436, 300, 201, 40),
        percent=False,
    ),
    Comparison("Stage II - Stage I, Top-1", PairedDifference(0.02, -0.013, 0.053, 300, 15, 9)),
]


def shown(renderable, **options):
    file = io.StringIO()
    Console(file=file, **({"width": 80} | options)).print(renderable)
    return file.getvalue()


def rows(text):
    return {line.split("  ")[0]: line for line in text.splitlines()}


def test_the_closing_table_has_a_row_per_figure_and_a_column_per_stage():
    lines = rows(shown(stages_table(STAGES)))
    assert lines["metric"].split() == ["metric", "warm-up", "Stage", "I", "Stage", "II", "n"]
    assert re.split(r"\s{2,}", lines["caption reward"]) == [
        "caption reward",
        ".512 [.482, .542]",
        ".634 [.604, .664]",
        ".620 [.590, .650]",
        "300",
    ]
    expected = ["caption reward", "valid captions %", *(f"Top-{k} %" for k in range(1, 7))]
    assert [label for label in lines if "[" in lines[label]] == [*expected, "safety-critical %"]
    assert "20.0 [20.0, 75.0]" in lines["Top-1 %"]
    assert "100 [100, 100]" in lines["valid captions %"]


def test_three_stages_fit_80_columns_without_a_wrapped_cell():
    lines = shown(stages_table(STAGES, title="What each stage changed")).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 1 + 2 + 9  # title, head and rule, rows


def test_each_comparison_says_difference_interval_discordant_counts_and_verdict():
    text = " ".join(shown(stages_table(STAGES, COMPARISONS)).split())
    assert (
        "Stage I - warm-up, caption reward: +0.122 [+0.101, +0.144], 201 gained, 40 lost of 300; "
        "beyond the interval: yes"
    ) in text
    # exact two-sided binomial test of 9 in 24
    assert (
        "Stage II - Stage I, Top-1: +2.0 points [-1.3, +5.3], 15 gained, 9 lost of 300, "
        "McNemar p = 0.3075; beyond the interval: no"
    ) in text


def test_markdown_says_the_same_as_the_console():
    markdown = stages_markdown(STAGES, COMPARISONS)
    console = " ".join(shown(stages_table(STAGES, COMPARISONS), width=200).split())
    table, comparisons = markdown.split("\n\n")
    header, rule, *body = table.splitlines()
    assert header == "| metric | warm-up | Stage I | Stage II | n |"
    assert rule.count("---:") == 4
    for line in body:
        assert line.strip("| ").replace(" | ", " ") in console
    for line in comparisons.splitlines():
        assert line.removeprefix("* ") in console


def test_an_evaluation_is_metric_value_interval_and_n():
    figures = [
        Figure("caption reward", Estimate(0.5, 0.45, 0.55, 47), percent=False),
        Figure("Top-1 %", Estimate(0.25, 0.125, 0.375, 47)),
        Figure("macro-F1 %", NOTHING),
    ]
    lines = rows(shown(evaluation_table(figures, title="PAD-UFES-20")))
    assert " ".join(lines["caption reward"].split()) == "caption reward 0.500 [0.450, 0.550] 47"
    assert " ".join(lines["Top-1 %"].split()) == "Top-1 % 25.0 [12.5, 37.5] 47"
    assert " ".join(lines["macro-F1 %"].split()) == "macro-F1 % n/a n/a 0†"
    assert "| Top-1 % | 25.0 | [12.5, 37.5] | 47 |" in evaluation_markdown(figures)


def test_figures_that_a_stage_lacks_are_shown_as_missing_and_differing_n_are_all_shown():
    few = Stage("few", (Figure("Top-1 %", Estimate(0.5, 0.4, 0.6, 20)), Figure("extra", NOTHING)))
    markdown = stages_markdown([STAGES[0], few])
    assert "| Top-2 % | 30.0 [20.0, 75.0] | n/a | 300 |" in markdown
    assert "| Top-1 % | 20.0 [20.0, 75.0] | 50.0 [40.0, 60.0] | 300/20 |" in markdown
    assert "| extra | n/a | n/a | 0† |" in markdown


def test_figures_of_few_groups_bear_a_sign_and_a_line_says_what_intervals_go_by():
    figures = [
        Figure("Top-1 %", Estimate(0.25, 0.1, 0.5, 41, 19)),
        Figure("caption reward", Estimate(0.5, 0.4, 0.6, 41, 41), percent=False),
        Figure("constant", Estimate(0.5, math.nan, math.nan, 41, 41), percent=False),
    ]
    change = Comparison("two - one", PairedDifference(0.1, -0.1, 0.3, 41, 9, 5, 19))
    notes = [
        "intervals by group (patient, lesion): 19 of 41 cases",
        "† fewer than 20 cases or groups: hardly anything is known",
    ]
    lines = rows(shown(evaluation_table(figures)))
    assert " ".join(lines["Top-1 %"].split()) == "Top-1 % 25.0 [10.0, 50.0] 41†"
    assert " ".join(lines["constant"].split()) == "constant 0.500 n/a 41"
    assert set(notes) < set(lines)
    assert evaluation_markdown(figures).endswith("".join(f"\n* {note}" for note in notes))
    closing = stages_markdown([Stage("one", tuple(figures))], [change])
    assert "| Top-1 % | 25.0 [10.0, 50.0] | 41† |" in closing
    assert "| constant | .500 [n/a] | 41 |" in closing
    assert all(f"\n* {note}\n" in closing for note in notes) and "5 lost of 41†" in closing
    assert "†" not in shown(evaluation_table(figures[1:])), "no sign, no line"


def test_a_comparison_without_cases_says_so():
    nothing = PairedDifference(math.nan, math.nan, math.nan, 0, 0, 0)
    text = stages_markdown(STAGES, [Comparison("Stage I - warm-up", nothing)])
    assert text.endswith("* Stage I - warm-up: no cases to compare")


@pytest.mark.parametrize("value", [-0.1, 0.0, 0.25])
def test_scores_keep_their_sign(value):
    figures = (Figure("score", Estimate(value, value, value, 20), percent=False),)
    cell = stages_markdown([Stage("x", figures)]).splitlines()[-1].split(" | ")[1]
    number = cell.split(" ")[0]
    assert float(number) == value


def test_labels_with_brackets_are_text_and_not_markup():
    figures = [Figure("Top-1 [bold]", Estimate(0.5, 0.4, 0.6, 9))]
    assert "Top-1 [bold]" in shown(evaluation_table(figures))
