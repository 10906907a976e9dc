"""Predictions to figures with intervals, and stage against stage on the same cases."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from rich.console import RenderableType

from skinflow_jax.clinical import find
from skinflow_jax.evaluation.floor import Floor, FloorReached, floor_reached
from skinflow_jax.evaluation.metrics import (
    Estimate,
    MajorityBaseline,
    PairedDifference,
    macro_f1,
    macro_recall,
    majority_baseline,
    mean_with_interval,
    paired_difference,
    top_k,
    top_k_estimates,
)
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.tables import (
    Comparison,
    Figure,
    Stage,
    comparison_lines,
    counted,
    stages_markdown,
    stages_table,
)

OUTCOMES = {
    "missed malignancy %": "malignancy_missed",
    "missed malignancy in six %": "malignancy_missed_in_six",
    "missed urgent %": "urgent_missed",
    "over-triage %": "over_triaged",
}
"""Figures of the first diagnosis, or of six, and the field of `Prediction` that each goes by."""


@dataclass(frozen=True)
class Summary:
    """The figures of one evaluation; the predictions stay for paired comparisons.

    `baseline` answers the most frequent training diagnosis every time, `floor` the best constant
    answers. `refused`: answers by the code of what is wrong with them. `blind`: what changed for
    the cases that were shown the images of others.
    """

    captions: tuple[Prediction, ...]
    diagnoses: tuple[Prediction, ...]
    figures: tuple[Figure, ...]
    baseline: MajorityBaseline
    floor: FloorReached
    refused: Mapping[str, int] = field(default_factory=dict)
    blind: tuple[Comparison, ...] = ()

    @property
    def asked(self) -> tuple[Figure, ...]:
        """The figures of what was asked at all."""
        return tuple(figure for figure in self.figures if figure.estimate.n)

    def headline(self) -> str:
        """One line: caption reward, Top-1 and Top-6."""
        wanted = ("caption reward", "Top-1 %", "Top-6 %")
        values = {f.label: f.estimate.value * (100 if f.percent else 1) for f in self.asked}
        return ", ".join(f"{name} {values[name]:.3g}" for name in wanted if name in values)

    def to_dict(self) -> dict:
        """What metrics.json holds: shares between 0 and 1, each with interval, n and groups."""
        figures = {f.label.removesuffix(" %"): f.estimate.to_dict() for f in self.figures}
        accuracy = self.baseline.accuracy.to_dict()
        return figures | {
            "majority baseline": {"label": self.baseline.label, "accuracy": accuracy},
            "floor": self.floor.to_dict(),
            "blindness": {c.label: asdict(c.difference) for c in self.blind},
            "refused": self.refused,
            "references unknown to the ontology": unknown_references(self.diagnoses),
        }


def summarise(
    predictions: Sequence[Prediction], floor: Floor, exchanged: Sequence[Prediction] = ()
) -> Summary:
    """Figures over all predictions.

    `floor`: of the training cases. `exchanged`: answers to the same prompts with the images of
    other cases, for the blindness check.
    """
    captions, diagnoses = _captions(predictions), _diagnoses(predictions)
    questions = tuple(p for p in predictions if p.task == "question")
    ranks = [p.rank for p in diagnoses]
    references = [p.reference for p in diagnoses]
    described, named = {"groups": groups_of(captions)}, {"groups": groups_of(diagnoses)}
    top = enumerate(top_k_estimates(ranks, **named), 1)
    figures = (
        Figure("caption reward", _mean([p.caption_reward for p in captions], described), False),
        Figure("valid captions %", _mean([p.valid for p in captions], described)),
        *(Figure(f"Top-{k} %", estimate) for k, estimate in top),
        Figure("diagnosis reward", _over(diagnoses, "diagnosis_reward"), percent=False),
        Figure("safety-critical %", _mean([p.safety_critical for p in diagnoses], named)),
        Figure("undetermined %", _mean([p.safety == "undetermined" for p in diagnoses], named)),
        *(Figure(label, _over(diagnoses, name)) for label, name in OUTCOMES.items()),
        Figure("macro recall %", macro_recall(references, top_k(ranks, 1), **named)),
        Figure("macro F1 %", macro_f1(references, list(map(_class_answered, diagnoses)), **named)),
    )
    if questions:
        figures += (Figure("equal answers %", _over(questions, "equal")),)
    return Summary(
        captions,
        diagnoses,
        figures,
        majority_baseline(floor.labels or ("",), references, **named),
        floor_reached(floor, captions, diagnoses, described=described, named=named),
        refusals(predictions),
        _blindness(predictions, exchanged),
    )


def _captions(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    return tuple(p for p in predictions if p.task == "caption" and p.caption_reward is not None)


def _diagnoses(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    return tuple(p for p in predictions if p.task == "diagnosis")


def _mean(values: Sequence[float], options: Mapping) -> Estimate:
    return mean_with_interval([float(value) for value in values], **options)


def _over(predictions: Sequence[Prediction], name: str) -> Estimate:
    """The mean of a field over the predictions that have it."""
    having = [p for p in predictions if getattr(p, name) is not None]
    return _mean([getattr(p, name) for p in having], {"groups": groups_of(having)})


def refusals(predictions: Sequence[Prediction]) -> dict[str, int]:
    """How many answers were refused, by the code of what is wrong with them."""
    return dict(sorted(Counter(p.refusal for p in predictions if p.refusal).items()))


def unknown_references(diagnoses: Sequence[Prediction]) -> dict[str, int]:
    """References that no row of the ontology knows, and of how many cases: scored by name alone."""
    return dict(sorted(Counter(p.reference for p in diagnoses if p.known is False).items()))


def _blindness(
    predictions: Sequence[Prediction], exchanged: Sequence[Prediction]
) -> tuple[Comparison, ...]:
    """The rewards with the images of others less those with the own ones, case by case."""
    own = {(p.task, p.case_id): p for p in predictions}
    found = []
    for label, chosen, name in (
        ("caption reward", _captions, "caption_reward"),
        ("diagnosis reward", _diagnoses, "diagnosis_reward"),
        ("equal answers", lambda all_: [p for p in all_ if p.task == "question"], "equal"),
    ):
        others = chosen(exchanged)
        if others:
            change = paired_difference(
                [float(getattr(own[p.task, p.case_id], name)) for p in others],
                [float(getattr(p, name)) for p in others],
                groups=groups_of(others),
            )
            found.append(Comparison(f"images exchanged - own, {label}", change, name == "equal"))
    return tuple(found)


def groups_of(predictions: Sequence[Prediction]) -> list[str]:
    """The patient or lesion of each; of predictions of an earlier version the case."""
    return [p.group or p.case_id for p in predictions]


def _class_answered(prediction: Prediction) -> str | None:
    """The class that the first diagnosis stands for: the reference where it was accepted."""
    if prediction.rank == 1:
        return prediction.reference
    disease = find(prediction.first) if prediction.first else None
    return disease.name if disease else prediction.first


def comparisons(names: Sequence[str], summaries: Sequence[Summary]) -> list[Comparison]:
    """What each stage changed, case by case: captions in Stage I, diagnoses in Stage II."""
    found = []
    for (before_name, before), (after_name, after) in pairwise(zip(names, summaries, strict=True)):
        label = f"{after_name} - {before_name}"
        found.append(
            Comparison(
                f"{label}, caption reward",
                paired_difference(
                    [p.caption_reward for p in before.captions],
                    [p.caption_reward for p in after.captions],
                    groups=groups_of(after.captions),
                ),
                percent=False,
            )
        )
        pairs = list(zip(before.diagnoses, after.diagnoses, strict=True))
        found += [
            Comparison(f"{label}, Top-1", _changed(pairs, lambda p: p.rank == 1)),
            Comparison(f"{label}, critical or undetermined", _changed(pairs, _unsafe)),
            *(
                Comparison(f"{label}, {name.removesuffix(' %')}", _changed(pairs, _field(field)))
                for name, field in OUTCOMES.items()
            ),
        ]
    return found


def _unsafe(prediction: Prediction) -> bool | None:
    """Whether the first diagnosis is critical or undetermined; of an earlier file not known."""
    return None if prediction.safety is None else prediction.safety != "none"


def _field(name: str) -> Callable[[Prediction], Any]:
    return lambda prediction: getattr(prediction, name)


def _changed(
    pairs: Sequence[tuple[Prediction, Prediction]], of: Callable[[Prediction], float | None]
) -> PairedDifference:
    """The change of a 0/1 value, over the cases that have it."""
    having = [pair for pair in pairs if None not in map(of, pair)]
    before, after = ([float(of(pair[i])) for pair in having] for i in (0, 1))
    return paired_difference(before, after, groups=groups_of([pair[1] for pair in having]))


def stages_report(names: Sequence[str], summaries: Sequence[Summary]) -> RenderableType:
    """The closing table for the console."""
    return stages_table(*_stages(names, summaries))


def stages_report_markdown(names: Sequence[str], summaries: Sequence[Summary]) -> str:
    """The closing table as Markdown, with what blind answers reach."""
    lines = "".join(f"* {line}\n" for line in blind_lines(summaries[-1]))
    return f"{stages_markdown(*_stages(names, summaries))}\n{lines}"


def _stages(names, summaries):
    # What no stage was asked is no row.
    asked = {figure.label for summary in summaries for figure in summary.asked}
    columns = [
        Stage(name, tuple(f for f in summary.figures if f.label in asked))
        for name, summary in zip(names, summaries, strict=True)
    ]
    return columns, [c for c in comparisons(names, summaries) if c.difference.n]


def blind_lines(summary: Summary) -> list[str]:
    """In words what answers that do not look reach, and what the exchange of images changed."""
    lines = [baseline_line(summary)] if summary.diagnoses else []
    lines += summary.floor.lines() + comparison_lines(summary.blind)
    unknown = unknown_references(summary.diagnoses)
    if unknown:
        count, named = sum(unknown.values()), ", ".join(list(unknown)[:5])
        lines.append(
            f"{count:,} cases have one of {len(unknown)} diagnoses that the ontology does not know "
            f"(scored by name alone): {named}{', …' if len(unknown) > 5 else ''}"
        )
    return lines


def baseline_line(summary: Summary) -> str:
    """The majority-class baseline in words."""
    baseline = summary.baseline
    found = baseline.accuracy
    value, low, high = (100 * x for x in (found.value, found.low, found.high))
    return (
        f'Answering "{baseline.label}" every time would reach Top-1 '
        f"{value:.1f} % [{low:.1f}, {high:.1f}] on these {counted(found)} cases."
    )
