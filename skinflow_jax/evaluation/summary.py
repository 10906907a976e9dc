"""Predictions to figures with intervals, by subgroup too, beside what blind answers reach."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import RenderableType

from skinflow_jax.clinical.relations import relation
from skinflow_jax.evaluation.calibration import Calibration, calibration
from skinflow_jax.evaluation.comparing import comparisons
from skinflow_jax.evaluation.figures import (
    TRIVIAL,
    captions_of,
    diagnoses_of,
    diseases_of,
    figures_of,
    groups_of,
)
from skinflow_jax.evaluation.floor import Floor, FloorReached, floor_reached
from skinflow_jax.evaluation.metrics import (
    MajorityBaseline,
    majority_baseline,
    paired_difference,
)
from skinflow_jax.evaluation.neighbours import (
    Neighbours,
    NeighboursReached,
    neighbours_reached,
)
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.subgroups import Subgroups, subgroup_tables, subgroups
from skinflow_jax.evaluation.tables import (
    Comparison,
    Figure,
    Stage,
    comparison_lines,
    counted,
    evaluation_table,
    stages_markdown,
    stages_table,
)
from skinflow_jax.evaluation.voting import Lists


@dataclass(frozen=True)
class Summary:
    """The figures of one evaluation; the predictions stay for paired comparisons.

    `baseline` answers the most frequent training diagnosis every time, `floor` the best constant
    answers. `refused`: answers by the code of what is wrong with them. `blind`: what changed for
    the cases that were shown the images of others. `subgroups`: by the name of a fact;
    `diseases`: how many different ones the references are. `lists`: how diagnoses were decoded.
    """

    captions: tuple[Prediction, ...]
    diagnoses: tuple[Prediction, ...]
    figures: tuple[Figure, ...]
    baseline: MajorityBaseline | None
    floor: FloorReached
    refused: Mapping[str, int] = field(default_factory=dict)
    blind: tuple[Comparison, ...] = ()
    subgroups: Mapping[str, Subgroups] = field(default_factory=dict)
    calibration: Calibration | None = None
    diseases: int = 0
    neighbours: NeighboursReached | None = None
    lists: Lists = field(default_factory=Lists)

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """Those of captions with a known field and of diagnoses."""
        return self.captions + self.diagnoses

    @property
    def trivial(self) -> bool:
        """Whether six guesses name most of the diseases that occur: Top-6 says little."""
        return 0 < self.diseases <= TRIVIAL

    @property
    def asked(self) -> tuple[Figure, ...]:
        """The figures of what was asked at all."""
        return tuple(figure for figure in self.figures if figure.estimate.n)

    @property
    def told(self) -> tuple[Figure, ...]:
        """Of `asked` those that do not say what another says: of answers refused, or of kinds."""
        twice = _said_twice(self)
        return tuple(figure for figure in self.asked if figure.label not in twice)

    def headline(self) -> str:
        """One line: caption reward, Top-1 and Top-6."""
        wanted = ("caption reward", "Top-1 %", "Top-6 %")
        values = {f.label: f.estimate.value * (100 if f.percent else 1) for f in self.asked}
        return ", ".join(f"{name} {values[name]:.3g}" for name in wanted if name in values)

    def to_dict(self) -> dict:
        """What metrics.json holds: shares between 0 and 1, each with interval, n and groups."""
        figures = {f.label.removesuffix(" %"): f.estimate.to_dict() for f in self.figures}
        baseline = self.baseline
        sure = self.calibration
        return figures | {
            "diseases": self.diseases,
            "sampled lists": vars(self.lists) if self.lists.samples > 1 else None,
            "Top-6 is trivial": self.trivial,
            "subgroups": {name: each.to_dict() for name, each in self.subgroups.items()},
            "calibration": None if sure is None else sure.to_dict(),
            "majority baseline": None
            if baseline is None
            else {"label": baseline.label, "accuracy": baseline.accuracy.to_dict()},
            "floor": self.floor.to_dict(),
            "nearest neighbour": None if self.neighbours is None else self.neighbours.to_dict(),
            "blindness": {c.label: c.difference.to_dict() for c in self.blind},
            "refused": self.refused,
            "references unknown to the ontology": unknown_references(self.diagnoses),
        }


def summarise(
    predictions: Sequence[Prediction],
    floor: Floor,
    exchanged: Sequence[Prediction] = (),
    neighbours: Neighbours | None = None,
) -> Summary:
    """Figures over all predictions.

    `floor`: of the training cases. `exchanged`: answers to the same prompts with the images of
    other cases, for the blindness check. `neighbours`: of every case with a diagnosis.
    """
    captions, diagnoses = captions_of(predictions), diagnoses_of(predictions)
    references = [p.reference for p in diagnoses]
    described, named = {"groups": groups_of(captions)}, {"groups": groups_of(diagnoses)}
    return Summary(
        captions,
        diagnoses,
        figures_of(predictions),
        majority_baseline(floor.labels, references, _accepted, **named) if floor.labels else None,
        floor_reached(floor, captions, diagnoses, described=described, named=named),
        refusals(predictions),
        _blindness(predictions, exchanged),
        subgroups(diagnoses),
        calibration(diagnoses),
        diseases_of(diagnoses),
        None if neighbours is None else neighbours_reached(neighbours, diagnoses, **named),
    )


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
        ("caption reward", captions_of, "caption_reward"),
        ("diagnosis reward", diagnoses_of, "diagnosis_reward"),
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


def tables(summary: Summary, title: str | None = None) -> list[RenderableType]:
    """For the console: figures that say something new, then a table for each fact's values."""
    return [evaluation_table(summary.told, title=title), *subgroup_tables(summary.subgroups)]


def stages_report(names: Sequence[str], summaries: Sequence[Summary]) -> RenderableType:
    """The closing table for the console."""
    return stages_table(*_stages(names, summaries))


def stages_report_markdown(names: Sequence[str], summaries: Sequence[Summary]) -> str:
    """The closing table as Markdown, with what blind answers reach."""
    lines = "".join(f"* {line}\n" for line in blind_lines(summaries[-1]))
    return f"{stages_markdown(*_stages(names, summaries))}\n{lines}"


def _stages(names, summaries):
    # What no stage was asked is no row, nor what says the same as another in each stage.
    asked = {figure.label for summary in summaries for figure in summary.asked}
    asked -= set.intersection(*(_said_twice(summary) for summary in summaries))
    columns = [
        Stage(name, tuple(f for f in summary.figures if f.label in asked))
        for name, summary in zip(names, summaries, strict=True)
    ]
    found = comparisons(names, [summary.predictions for summary in summaries])
    return columns, [c for c in found if c.difference.n]


def _said_twice(summary: Summary) -> set[str]:
    """Labels of figures that say what another says: no kinds were answered, nothing was refused."""
    found = {figure.label: figure.estimate for figure in summary.figures}
    plain = {label: label.removeprefix("strict ").replace(" of valid", "") for label in found}
    plain["graded score"] = "diagnosis reward"
    return {
        label
        for label, other in plain.items()
        if label != other and label in found and repr(found[label]) == repr(found.get(other))
    }


def blind_lines(summary: Summary) -> list[str]:
    """In words what answers that do not look reach, and what the exchange of images changed."""
    lines = [baseline_line(summary.baseline)] if summary.diagnoses and summary.baseline else []
    if summary.trivial:
        lines.append(f"Top-6 is trivial here: the references are {summary.diseases} diseases")
    if summary.calibration is not None:
        lines.append(calibration_line(summary.calibration))
    lines += summary.floor.lines()
    if summary.neighbours is not None:
        lines.append(summary.neighbours.line())
    lines += comparison_lines(summary.blind)
    unknown = unknown_references(summary.diagnoses)
    if unknown:
        count, named = sum(unknown.values()), ", ".join(list(unknown)[:5])
        lines.append(
            f"{count:,} cases have one of {len(unknown)} diagnoses that the ontology does not know "
            f"(scored by name alone): {named}{', …' if len(unknown) > 5 else ''}"
        )
    return lines


def calibration_line(found: Calibration) -> str:
    """How far the confidence in the first diagnosis is from how often it is right."""
    ece, area = found.ece, found.aurc
    apart = f"; of {found.without:,} no confidence is known" if found.without else ""
    return (
        f"confidence in the first diagnosis: ECE {ece.value:.3f} [{ece.low:.3f}, {ece.high:.3f}], "
        f"mean confidence less accuracy {found.overconfidence.value:+.3f}, "
        f"AURC {area.value:.3f} [{area.low:.3f}, {area.high:.3f}], {counted(ece)} cases{apart}"
    )


def _accepted(answer: str, reference: str) -> bool:
    return relation(answer, reference).accepted


def baseline_line(baseline: MajorityBaseline) -> str:
    """The majority-class baseline in words."""
    found = baseline.accuracy
    value, low, high = (100 * x for x in (found.value, found.low, found.high))
    return (
        f'Answering "{baseline.label}" every time would reach Top-1 '
        f"{value:.1f} % [{low:.1f}, {high:.1f}] on these {counted(found)} cases."
    )
