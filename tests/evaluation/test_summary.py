"""Predictions to figures: what counts, what is left out, what a stage is compared with."""

import dataclasses
import json

import pytest

from skinflow_jax.evaluation.protocol import Prediction
from skinflow_jax.evaluation.summary import (
    baseline_line,
    comparisons,
    stages_report_markdown,
    summarise,
)

TRAINING = ["psoriasis", "psoriasis", "melanoma"]


def diagnosed(case, reference, rank, first="acne", valid=True, safety_critical=False):
    return Prediction(
        *(case, "diagnosis", "", reference, valid),
        rank=rank,
        first=first if valid else None,
        safety_critical=safety_critical,
    )


def captioned(case, reward, valid=True):
    return Prediction(case, "caption", "", "{}", valid, caption_reward=reward)


BEFORE = [
    captioned("a", 0.5),
    captioned("b", 0.0, valid=False),
    captioned("c", None),
    diagnosed("a", "melanoma", 1, first="malignant melanoma"),
    diagnosed("b", "melanoma", 6, safety_critical=True),
    diagnosed("c", "psoriasis", None, valid=False),
    diagnosed("d", "psoriasis", 2),
]


def values(summary):
    return {f.label: f.estimate.value for f in summary.figures}


def test_figures_count_every_answer_and_leave_out_only_captions_without_a_reference():
    summary = summarise(BEFORE, TRAINING)
    found = values(summary)
    assert found["caption reward"] == 0.25 and found["valid captions %"] == 0.5
    assert [found[f"Top-{k} %"] for k in range(1, 7)] == [0.25, 0.5, 0.5, 0.5, 0.5, 0.75]
    assert found["safety-critical %"] == 0.25
    assert found["macro recall %"] == pytest.approx((0.5 + 0.0) / 2)
    counts = {f.label: f.estimate.n for f in summary.figures}
    assert counts["Top-1 %"] == 4 and counts["caption reward"] == 2


def test_the_baseline_is_the_most_frequent_training_diagnosis():
    summary = summarise(BEFORE, TRAINING)
    assert summary.baseline.label == "psoriasis" and summary.baseline.accuracy.value == 0.5
    assert '"psoriasis"' in baseline_line(summary) and "50.0 %" in baseline_line(summary)


def test_metrics_json_holds_shares_with_interval_and_n():
    content = json.loads(json.dumps(summarise(BEFORE, TRAINING).to_dict()))
    top = content["Top-1"]
    assert top["value"] == 0.25 and top["n"] == 4
    assert 0 <= top["low"] <= top["value"] <= top["high"] <= 1
    assert (top["groups"], top["method"], top["few"]) == (4, "Clopper-Pearson", True)
    assert content["majority baseline"]["accuracy"]["n"] == 4
    assert content["majority baseline"]["label"] == "psoriasis"


def test_intervals_go_by_the_groups_of_the_cases():
    def ends(summary):
        return {f.label: (f.estimate.low, f.estimate.high) for f in summary.figures}

    rows = [diagnosed(str(n), "melanoma", 1 if n % 2 else None) for n in range(40)]
    rows += [captioned(str(n), 0.2 * (n % 3)) for n in range(40)]
    pairs = [dataclasses.replace(p, group=f"patient {int(p.case_id) % 10}") for p in rows]
    apart, together = summarise(rows, TRAINING), summarise(pairs, TRAINING)
    for label, (low, high) in ends(apart).items():
        if label != "caption reward":
            wide = ends(together)[label]
            assert wide[0] <= low and high <= wide[1] and wide != (low, high), label
    assert {f.estimate.groups for f in together.figures} == {10}
    assert together.baseline.accuracy.groups == 10
    for comparison in comparisons(["one", "two"], [together, together]):
        assert comparison.difference.groups == 10
        assert comparison.difference.low < 0 < comparison.difference.high
    assert "40†" in stages_report_markdown(["one", "two"], [together, together])


def test_stages_are_compared_case_by_case():
    better = [
        dataclasses.replace(p, rank=1) if p.task == "diagnosis" and p.case_id in "bd" else p
        for p in BEFORE
    ]
    summaries = [summarise(BEFORE, TRAINING), summarise(better, TRAINING)]
    caption, top1 = comparisons(["one", "two"], summaries)
    assert caption.difference.mean == 0.0
    assert top1.difference.mean == 0.5
    assert top1.label == "two - one, Top-1"
    text = stages_report_markdown(["one", "two"], summaries)
    assert "two - one, Top-1" in text and "psoriasis" in text
    assert summaries[1].headline().startswith("caption reward 0.25, Top-1 % 75")
