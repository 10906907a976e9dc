"""The figures over all predictions of an evaluation, one row of a table each."""

from collections.abc import Mapping, Sequence

from skinflow_jax.clinical import find
from skinflow_jax.evaluation.metrics import (
    MAX_RANK,
    Estimate,
    macro_f1,
    macro_recall,
    mean_with_interval,
    top_k,
    top_k_estimates,
)
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.tables import Figure

OUTCOMES = {
    "missed malignancy %": "malignancy_missed",
    "missed malignancy in six %": "malignancy_missed_in_six",
    "missed urgent %": "urgent_missed",
    "over-triage %": "over_triaged",
}
"""Figures of the first diagnosis, or of six, and the field of `Prediction` that each goes by."""

TRIVIAL = 10
"""With as many diseases or fewer six guesses name most of them."""


def figures_of(predictions: Sequence[Prediction]) -> tuple[Figure, ...]:
    """All of them; figures over no cases have n = 0."""
    captions, diagnoses = captions_of(predictions), diagnoses_of(predictions)
    questions = tuple(p for p in predictions if p.task == "question")
    ranks = [p.rank for p in diagnoses]
    diseases = [canonical(p.reference) for p in diagnoses]
    described, named = {"groups": groups_of(captions)}, {"groups": groups_of(diagnoses)}
    top = enumerate(top_k_estimates(ranks, **named), 1)
    figures = (
        Figure("caption reward", mean([p.caption_reward for p in captions], described), False),
        Figure("valid captions %", mean([p.valid for p in captions], described)),
        *(Figure(f"Top-{k} %", estimate) for k, estimate in top),
        *_strict(diagnoses),
        Figure("diagnosis reward", over(diagnoses, "diagnosis_reward"), percent=False),
        *_if_any(Figure("graded score", over(diagnoses, "graded_score"), percent=False)),
        Figure("safety-critical %", mean([p.safety_critical for p in diagnoses], named)),
        Figure("undetermined %", mean([p.safety == "undetermined" for p in diagnoses], named)),
        *(Figure(label, over(diagnoses, name)) for label, name in OUTCOMES.items()),
        *_if_any(Figure("management agreement %", over(diagnoses, "management_consistent"))),
        Figure("macro recall %", macro_recall(diseases, top_k(ranks, 1), **named)),
        Figure("macro F1 %", macro_f1(diseases, list(map(_class_answered, diagnoses)), **named)),
        *_any_reference(diagnoses),
        *_valid(diagnoses),
    )
    if questions:
        figures += (Figure("equal answers %", over(questions, "equal")),)
    return figures


def _strict(diagnoses: Sequence[Prediction]) -> tuple[Figure, ...]:
    """Top-1 … Top-6 by the reference's own names; of an earlier file not known."""
    having = [p for p in diagnoses if p.management_consistent is not None]
    found = top_k_estimates([p.rank_strict for p in having], groups=groups_of(having))
    labelled = (Figure(f"strict Top-{k} %", estimate) for k, estimate in enumerate(found, 1))
    return tuple(labelled) if having else ()


def _any_reference(diagnoses: Sequence[Prediction]) -> list[Figure]:
    """Where some cases have several true diagnoses: over all, a single one being any of one."""
    if not any(p.references for p in diagnoses):
        return []
    ranks = [p.rank_any if p.references else p.rank for p in diagnoses]
    return [
        Figure(
            f"Top-{k} of any reference %", mean(top_k(ranks, k), {"groups": groups_of(diagnoses)})
        )
        for k in (1, MAX_RANK)
    ]


def _valid(diagnoses: Sequence[Prediction]) -> list[Figure]:
    """Invalid answers apart: they are wrong in the figures above, and left out of these."""
    valid = [p for p in diagnoses if p.valid]
    if not diagnoses:
        return []
    share = mean([p.valid for p in diagnoses], {"groups": groups_of(diagnoses)})
    found = [Figure("valid diagnoses %", share)]
    for k in (1, MAX_RANK) if valid else ():
        hits = top_k([p.rank for p in valid], k)
        found.append(Figure(f"Top-{k} of valid %", mean(hits, {"groups": groups_of(valid)})))
    return found


def _if_any(figure: Figure) -> tuple[Figure, ...]:
    return (figure,) if figure.estimate.n else ()


def captions_of(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """Those of a case whose caption is known."""
    return tuple(p for p in predictions if p.task == "caption" and p.caption_reward is not None)


def diagnoses_of(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """Of that task."""
    return tuple(p for p in predictions if p.task == "diagnosis")


def mean(values: Sequence[float], options: Mapping) -> Estimate:
    """The mean of 0/1 values or scores; `options` are those of `mean_with_interval`."""
    return mean_with_interval([float(value) for value in values], **options)


def over(predictions: Sequence[Prediction], name: str) -> Estimate:
    """The mean of a field over the predictions that have it."""
    having = [p for p in predictions if getattr(p, name) is not None]
    return mean([getattr(p, name) for p in having], {"groups": groups_of(having)})


def groups_of(predictions: Sequence[Prediction]) -> list[str]:
    """The patient or lesion of each; of predictions of an earlier version the case."""
    return [p.group or p.case_id for p in predictions]


def canonical(reference: str) -> str:
    """The ontology's name of a reference, its own where none is known: one disease is one class."""
    disease = find(reference)
    return disease.name if disease else reference


def diseases_of(diagnoses: Sequence[Prediction]) -> int:
    """How many different diseases the references are."""
    return len({canonical(p.reference) for p in diagnoses})


def _class_answered(prediction: Prediction) -> str | None:
    """The class that the first diagnosis stands for: the reference where it was accepted."""
    if prediction.rank == 1:
        return canonical(prediction.reference)
    disease = find(prediction.first) if prediction.first else None
    return disease.name if disease else prediction.first
