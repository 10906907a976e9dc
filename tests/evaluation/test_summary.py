"""Predictions to figures: what counts, what is left out, what a stage is compared with."""

import dataclasses
import json
import math

import pytest

from skinflow_jax.evaluation.comparing import comparisons
from skinflow_jax.evaluation.floor import floor_of
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.summary import (
    baseline_line,
    blind_lines,
    stages_report_markdown,
    summarise,
)

TRAINING = floor_of(["psoriasis", "psoriasis", "melanoma"], [{"colour": "red"}])


def diagnosed(case, reference, rank, first="acne", valid=True, safety="none", **fields):
    return Prediction(
        *(case, "diagnosis", "", reference, valid),
        rank=rank,
        diagnosis_reward=0.0 if rank is None else (7 - rank) / 6,
        first=first if valid else None,
        safety=safety if valid else "undetermined",
        **fields,
    )


def captioned(case, reward, valid=True):
    refusal = None if valid else "not_json"
    known = '{"colour": ["red"], "shape": ["round"]}'
    return Prediction(case, "caption", "", known, valid, refusal, caption_reward=reward)


BEFORE = [
    captioned("a", 0.5),
    captioned("b", 0.0, valid=False),
    captioned("c", None),
    diagnosed("a", "melanoma", 1, first="malignant melanoma"),
    diagnosed("b", "melanoma", 6, safety="critical", malignancy_missed=True),
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
    assert found["safety-critical %"] == 0.25 and found["undetermined %"] == 0.25
    assert found["missed malignancy %"] == 1.0 and found["diagnosis reward"] == 2 / 4
    assert found["macro recall %"] == pytest.approx((0.5 + 0.0) / 2)
    counts = {f.label: f.estimate.n for f in summary.figures}
    assert counts["Top-1 %"] == 4 and counts["caption reward"] == 2
    assert counts["missed malignancy %"] == 1 and counts["over-triage %"] == 0


def test_the_baseline_is_the_most_frequent_training_diagnosis():
    summary = summarise(BEFORE, TRAINING)
    assert summary.baseline.label == "psoriasis" and summary.baseline.accuracy.value == 0.5
    line = baseline_line(summary.baseline)
    assert '"psoriasis"' in line and "50.0 %" in line


def test_the_baseline_is_accepted_as_an_answer_is():
    """Psoriasis is right for guttate psoriasis, whoever says it."""
    reached = summarise([diagnosed("a", "guttate psoriasis", 1)], TRAINING).baseline
    assert reached.label == "psoriasis" and reached.accuracy.value == 1.0


def test_stages_tell_a_strict_figure_only_where_it_differs():
    same = summarise(
        [diagnosed("a", "acne", 1, rank_strict=1, management_consistent=True)], TRAINING
    )
    other = summarise([diagnosed("a", "acne", 1, management_consistent=True)], TRAINING)
    alike, unlike = (stages_report_markdown(["a", "b"], [same, each]) for each in (same, other))
    assert "| strict Top-1 % |" not in alike and "| strict Top-1 % |" in unlike


def test_metrics_are_json_for_any_reader_where_nothing_was_asked():
    told = json.dumps(summarise([], floor_of([], [])).to_dict(), allow_nan=False)
    assert json.loads(told)["Top-1"]["value"] is None
    assert json.loads(told)["majority baseline"] is None


def test_what_constant_answers_reach_stands_beside_the_result():
    floor = summarise(BEFORE, TRAINING).floor
    assert floor.caption_reward.value == 0.5 and floor.floor.caption.fields == {"colour": ["red"]}
    # psoriasis first: 1 for two of the cases, 5/6 for the two melanomas at rank 2.
    assert floor.floor.diagnoses.names[:2] == ("psoriasis", "melanoma")
    assert floor.diagnosis_reward.value == pytest.approx((1 + 5 / 6) / 2)
    text = "\n".join(blind_lines(summarise(BEFORE, TRAINING)))
    assert "floor, diagnosis reward 0.917" in text and 'always {"colour": "red"}' in text


def test_the_blindness_check_pairs_cases_with_themselves():
    others = [captioned("a", 0.1), diagnosed("d", "psoriasis", None), diagnosed("a", "melanoma", 1)]
    caption, diagnosis = summarise(BEFORE, TRAINING, others).blind
    assert caption.difference.mean == pytest.approx(-0.4) and caption.difference.n == 1
    assert diagnosis.difference.mean == pytest.approx(-5 / 12)
    assert caption.label == "images exchanged - own, caption reward"
    content = summarise(BEFORE, TRAINING, others).to_dict()
    assert content["blindness"]["images exchanged - own, diagnosis reward"]["n"] == 2


def test_refusals_and_references_that_no_row_knows_are_counted_by_name():
    unknown = diagnosed("e", "leaf rust", 1, known=False)
    content = summarise([*BEFORE, unknown], TRAINING).to_dict()
    assert content["refused"] == {"not_json": 1}
    assert content["references unknown to the ontology"] == {"leaf rust": 1}
    text = "\n".join(blind_lines(summarise([*BEFORE, unknown], TRAINING)))
    assert "1 cases have one of 1 diagnoses that the ontology does not know" in text


def test_data_without_a_diagnosis_or_a_caption_have_no_floor():
    summary = summarise([captioned("a", 0.5)], floor_of([""], [{}]))
    assert blind_lines(summary) == [] and summary.to_dict()["floor"] == {}


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
        if label not in ("caption reward", "diagnosis reward") and not math.isnan(low):
            wide = ends(together)[label]
            assert wide[0] <= low and high <= wide[1] and wide != (low, high), label
    assert {f.estimate.groups for f in together.asked} == {10}
    assert together.baseline.accuracy.groups == 10
    compared = comparisons(["one", "two"], [together.predictions] * 2)
    assert sum(comparison.difference.n > 0 for comparison in compared) == 3
    for comparison in (c for c in compared if c.difference.n):
        assert comparison.difference.groups == 10
        assert comparison.difference.low < 0 < comparison.difference.high
    assert "40†" in stages_report_markdown(["one", "two"], [together, together])


def test_stages_are_compared_case_by_case():
    better = [
        dataclasses.replace(p, rank=1) if p.task == "diagnosis" and p.case_id in "bd" else p
        for p in BEFORE
    ]
    summaries = [summarise(BEFORE, TRAINING), summarise(better, TRAINING)]
    found = comparisons(["one", "two"], [each.predictions for each in summaries])
    caption, top1 = found[:2]
    assert [c.label.removeprefix("two - one, ") for c in found] == [
        *("caption reward", "Top-1", "critical or undetermined", "missed malignancy"),
        *("missed malignancy in six", "missed urgent", "over-triage"),
    ]
    assert caption.difference.mean == 0.0
    assert top1.difference.mean == 0.5
    assert top1.label == "two - one, Top-1"
    text = stages_report_markdown(["one", "two"], summaries)
    assert "two - one, Top-1" in text and "psoriasis" in text
    assert summaries[1].headline().startswith("caption reward 0.25, Top-1 % 75")
