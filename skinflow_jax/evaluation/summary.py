"""Predictions to figures with intervals, and stage against stage on the same cases."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from skinflow_jax.clinical import find
from skinflow_jax.evaluation.metrics import (
    MajorityBaseline,
    macro_f1,
    macro_recall,
    majority_baseline,
    mean_with_interval,
    paired_difference,
    safety_critical_rate,
    top_k,
    top_k_estimates,
)
from skinflow_jax.evaluation.protocol import Prediction
from skinflow_jax.evaluation.tables import (
    Comparison,
    Figure,
    Stage,
    counted,
    stage_figures,
    stages_markdown,
    stages_table,
)


@dataclass(frozen=True)
class Summary:
    """The figures of one evaluation; the predictions stay for paired comparisons.

    `baseline` answers the most frequent training diagnosis every time.
    """

    captions: tuple[Prediction, ...]
    diagnoses: tuple[Prediction, ...]
    figures: tuple[Figure, ...]
    baseline: MajorityBaseline

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
        return figures | {"majority baseline": {"label": self.baseline.label, "accuracy": accuracy}}


def summarise(predictions: Sequence[Prediction], training_labels: Sequence[str]) -> Summary:
    """Figures over all predictions; `training_labels` are the diagnoses of the training cases."""
    captions = tuple(p for p in predictions if p.task == "caption" and p.caption_reward is not None)
    diagnoses = tuple(p for p in predictions if p.task == "diagnosis")
    questions = tuple(p for p in predictions if p.task == "question")
    ranks = [p.rank for p in diagnoses]
    references = [p.reference for p in diagnoses]
    described, named = {"groups": _groups(captions)}, {"groups": _groups(diagnoses)}
    figures = stage_figures(
        caption_reward=mean_with_interval([p.caption_reward for p in captions], **described),
        valid_captions=mean_with_interval([float(p.valid) for p in captions], **described),
        top=top_k_estimates(ranks, **named),
        safety_critical=safety_critical_rate([p.safety_critical for p in diagnoses], **named),
    )
    answered = [_class_answered(p) for p in diagnoses]
    macro = (
        Figure("macro recall %", macro_recall(references, top_k(ranks, 1), **named)),
        Figure("macro F1 %", macro_f1(references, answered, **named)),
    )
    equal = mean_with_interval([float(p.equal) for p in questions], groups=_groups(questions))
    answers = (Figure("equal answers %", equal),) if questions else ()
    baseline = majority_baseline(training_labels, references, **named)
    return Summary(captions, diagnoses, figures + macro + answers, baseline)


def _groups(predictions: Sequence[Prediction]) -> list[str]:
    """The patient or lesion of each; of predictions of an earlier version the case."""
    return [p.group or p.case_id for p in predictions]


def _class_answered(prediction: Prediction) -> str | None:
    """The class that the first diagnosis stands for: the reference where it was accepted."""
    if prediction.rank == 1:
        return prediction.reference
    disease = find(prediction.first) if prediction.first else None
    return disease.name if disease else prediction.first


def comparisons(names: Sequence[str], summaries: Sequence[Summary]) -> list[Comparison]:
    """What each stage changed, case by case: caption reward in Stage I, Top-1 in Stage II."""
    found = []
    for (before_name, before), (after_name, after) in zip(
        zip(names, summaries, strict=True), zip(names[1:], summaries[1:], strict=True), strict=False
    ):
        label = f"{after_name} - {before_name}"
        found.append(
            Comparison(
                f"{label}, caption reward",
                paired_difference(
                    [p.caption_reward for p in before.captions],
                    [p.caption_reward for p in after.captions],
                    groups=_groups(after.captions),
                ),
                percent=False,
            )
        )
        found.append(
            Comparison(
                f"{label}, Top-1",
                paired_difference(
                    top_k([p.rank for p in before.diagnoses], 1),
                    top_k([p.rank for p in after.diagnoses], 1),
                    groups=_groups(after.diagnoses),
                ),
            )
        )
    return found


def stages_report(names: Sequence[str], summaries: Sequence[Summary]) -> RenderableType:
    """The closing table for the console."""
    return stages_table(*_stages(names, summaries))


def stages_report_markdown(names: Sequence[str], summaries: Sequence[Summary]) -> str:
    """The closing table as Markdown, with the majority-class baseline."""
    return f"{stages_markdown(*_stages(names, summaries))}\n\n{baseline_line(summaries[-1])}\n"


def _stages(names, summaries):
    # What no stage was asked is no row.
    asked = {figure.label for summary in summaries for figure in summary.asked}
    columns = [
        Stage(name, tuple(f for f in summary.figures if f.label in asked))
        for name, summary in zip(names, summaries, strict=True)
    ]
    return columns, [c for c in comparisons(names, summaries) if c.difference.n]


def baseline_line(summary: Summary) -> str:
    """The majority-class baseline in words."""
    baseline = summary.baseline
    found = baseline.accuracy
    value, low, high = (100 * x for x in (found.value, found.low, found.high))
    return (
        f'Answering "{baseline.label}" every time would reach Top-1 '
        f"{value:.1f} % [{low:.1f}, {high:.1f}] on these {counted(found)} cases."
    )
