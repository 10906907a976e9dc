"""What answers that do not look at the image reach: beside every result, so that nothing is
mistaken for sight."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skinflow_jax.clinical import (
    CLINICAL,
    Schema,
    best_constant_caption,
    best_constant_diagnoses,
    caption_reward,
    first_accepted,
)
from skinflow_jax.clinical.constant_answers import ConstantCaption, ConstantDiagnoses
from skinflow_jax.clinical.rewards import rank_value
from skinflow_jax.clinical.schema import FieldValue
from skinflow_jax.evaluation.metrics import Estimate, mean_with_interval, top_k
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.tables import Figure, shown


@dataclass(frozen=True)
class Floor:
    """The best constant answers of the training cases; None where they know no such answer.

    `labels`: the diagnoses of the training cases.
    """

    labels: tuple[str, ...]
    diagnoses: ConstantDiagnoses | None
    caption: ConstantCaption | None
    schema: Schema = CLINICAL

    def lines(self) -> list[str]:
        """In words, with what the answers are paid on the training cases."""
        return self.told(
            f"{self.caption.reward:.3f}" if self.caption else "",
            f"{self.diagnoses.reward:.3f}" if self.diagnoses else "",
        )

    def told(self, caption: str, diagnoses: str) -> list[str]:
        """A line for each answer with what it reaches, none for one that reaches ""."""
        answers = []
        if self.caption is not None and caption:
            answers.append(("caption", caption, self.schema.to_json(self.caption.fields)))
        if self.diagnoses is not None and diagnoses:
            answers.append(("diagnosis", diagnoses, ", ".join(self.diagnoses.names)))
        return [f"floor, {task} reward {paid}: always {said}" for task, paid, said in answers]


@dataclass(frozen=True)
class DiagnosesReached:
    """What lists of diagnoses reach on evaluated cases; figures over no cases have n = 0."""

    reward: Estimate
    top_1: Estimate
    top_6: Estimate

    def to_dict(self) -> dict:
        """What metrics.json holds."""
        figures = {"diagnosis reward": self.reward, "Top-1": self.top_1, "Top-6": self.top_6}
        return {name: figure.to_dict() for name, figure in figures.items()}

    def told(self) -> str:
        """In words."""
        top_1, top_6 = _shown(self.top_1, True), _shown(self.top_6, True)
        return f"{_shown(self.reward)}, Top-1 {top_1} %, Top-6 {top_6} %"


def diagnoses_reached(ranks: Sequence[int | None], **named) -> DiagnosesReached:
    """Of the ranks of the first accepted diagnosis; `named`: options of `mean_with_interval`."""
    paid = [rank_value(rank, "linear") if rank else 0.0 for rank in ranks]
    figures = (paid, top_k(ranks, 1), top_k(ranks, 6))
    return DiagnosesReached(*(mean_with_interval(values, **named) for values in figures))


@dataclass(frozen=True)
class FloorReached:
    """What the constant answers reach on evaluated cases; figures over no cases have n = 0."""

    floor: Floor
    caption_reward: Estimate
    named: DiagnosesReached

    @property
    def diagnosis_reward(self) -> Estimate:
        """Of the constant diagnoses."""
        return self.named.reward

    def to_dict(self) -> dict:
        """What metrics.json holds."""
        found: dict = {}
        if self.floor.caption is not None and self.caption_reward.n:
            found["caption"] = {
                "answer": self.floor.caption.fields,
                "caption reward": self.caption_reward.to_dict(),
            }
        if self.floor.diagnoses is not None and self.diagnosis_reward.n:
            found["diagnoses"] = {
                "answer": list(self.floor.diagnoses.names),
                **self.named.to_dict(),
            }
        return found

    def lines(self) -> list[str]:
        """In words."""
        return self.floor.told(
            _shown(self.caption_reward) if self.caption_reward.n else "",
            self.named.told() if self.diagnosis_reward.n else "",
        )


def floor_of(
    labels: Sequence[str],
    captions: Sequence[Mapping[str, FieldValue]] = (),
    schema: Schema = CLINICAL,
    **options,
) -> Floor:
    """The floor of training cases with these diagnoses and captions; empty ones are left out.

    `options` are those of `diagnosis_reward`.
    """
    labels = tuple(label for label in labels if label)
    captions = [caption for caption in captions if caption]
    return Floor(
        labels,
        best_constant_diagnoses(labels, **options) if labels else None,
        best_constant_caption(captions, schema) if captions else None,
        schema,
    )


def floor_reached(
    floor: Floor,
    captions: Sequence[Prediction],
    diagnoses: Sequence[Prediction],
    *,
    described: Mapping,
    named: Mapping,
) -> FloorReached:
    """The constant answers to the same cases; the mappings are options of `mean_with_interval`."""
    captions = captions if floor.caption is not None else ()
    diagnoses = diagnoses if floor.diagnoses is not None else ()
    text = floor.schema.to_json(floor.caption.fields) if floor.caption is not None else ""
    list_ = json.dumps({"diagnoses": floor.diagnoses.names}) if floor.diagnoses is not None else ""
    described = described if captions else {}
    named = named if diagnoses else {}
    paid = [caption_reward(text, json.loads(p.reference), floor.schema) for p in captions]
    references = [p.reference for p in diagnoses]
    once = {each: first_accepted(list_, each) for each in set(references)}
    reached = diagnoses_reached([once[each] for each in references], **named)
    return FloorReached(floor, mean_with_interval(paid, **described), reached)


def _shown(estimate: Estimate, percent: bool = False) -> str:
    return shown(Figure("", estimate, percent))
