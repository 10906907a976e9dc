"""The floor of both rewards: what the best answer that does not look at the image is paid.

A policy that is paid no more has learnt the frequencies of its labels. The search is greedy with
exchanges, so that the floor may lie a little higher than what it finds, never lower.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from skinflow_jax.clinical.caption_field import MOST_VALUES, Field
from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.names import find, read_name
from skinflow_jax.clinical.ontology import Ontology, ontology
from skinflow_jax.clinical.ontology_disease import Disease
from skinflow_jax.clinical.parsing import MOST_DIAGNOSES
from skinflow_jax.clinical.relations import related
from skinflow_jax.clinical.rewards import Scale, credit, rank_value, safety_cost
from skinflow_jax.clinical.schema import FieldValue, Schema

_MOST_CANDIDATES = 400


class ConstantDiagnoses(NamedTuple):
    """Names, best first, and the mean of `diagnosis_reward` that they are paid."""

    names: tuple[str, ...]
    reward: float


class ConstantCaption(NamedTuple):
    """Canonical fields and the mean of `caption_reward` that they are paid."""

    fields: dict[str, list[str]]
    reward: float


def best_constant_diagnoses(
    labels: Sequence[str],
    *,
    scale: Scale = "linear",
    sibling_credit: float = 0.0,
    safety_penalty: float = 0.0,
) -> ConstantDiagnoses:
    """The names, six at most, that are paid most on `labels`, the diagnoses of cases.

    The options are those of `diagnosis_reward`. Raises ValueError without labels.
    """
    if not len(labels):
        raise ValueError("no labels: the best constant diagnoses are unknown")
    known, counts = ontology(), Counter(labels)
    truths = {label: find(label, known) for label in counts}
    shares = np.array(list(counts.values())) / len(labels)
    names = _candidates(known, truths, shares)
    if safety_penalty:
        names = list(dict.fromkeys([*names, *_of_each_kind(known)]))
    if sibling_credit:
        names = list(dict.fromkeys([*names, *_siblings(known, truths)]))
    names = list(dict.fromkeys([*names, *_ambiguous(known, truths)]))
    credits, costs = _paid(known, names, truths, sibling_credit)
    values = np.array([rank_value(rank, scale) for rank in range(1, MOST_DIAGNOSES + 1)])

    def mean(chosen: Sequence[int]) -> float:
        best = (credits[chosen] * values[: len(chosen), None]).max(axis=0)
        return float(shares @ (best - safety_penalty * costs[chosen[0]]))

    chosen: list[int] = []
    while len(chosen) < min(MOST_DIAGNOSES, len(names)):
        rest = [n for n in range(len(names)) if n not in chosen]
        longer = [*chosen, max(rest, key=lambda n: mean([*chosen, n]))]
        if chosen and mean(longer) <= mean(chosen):
            break
        chosen = longer
    chosen, best = _exchanged(chosen, len(names), mean)
    return ConstantDiagnoses(tuple(names[n] for n in chosen), best)


def _exchanged(chosen: list[int], count: int, mean) -> tuple[list[int], float]:
    """`chosen` after every exchange of one name, or of two places, that is paid more."""
    best, improved = mean(chosen), True
    while improved:
        improved = False
        for place in range(len(chosen)):
            for other in range(count):
                trial = list(chosen)
                if other in trial:
                    trial[trial.index(other)] = trial[place]
                trial[place] = other
                if (found := mean(trial)) > best + 1e-12:
                    chosen, best, improved = trial, found, True
    return chosen, best


def _candidates(
    known: Ontology, truths: Mapping[str, Disease | None], shares: Sequence[float]
) -> list[str]:
    """Names that some label accepts: its own, answerable ones above, and kinds of it.

    Of many those that are accepted for most cases.
    """
    accepted: Counter = Counter()
    below = _below(known)
    for (label, truth), share in zip(truths.items(), shares, strict=True):
        names = {label: None}
        if truth is not None:
            above = (known.diseases[name] for name in sorted(known.ancestors(truth)))
            names = {truth.name: None}
            names |= {disease.name: None for disease in above if disease.answerable}
            names |= dict.fromkeys(below[truth.name])
        for name in names:
            accepted[name] += share
    return [name for name, _ in accepted.most_common(_MOST_CANDIDATES)]


def _of_each_kind(known: Ontology) -> list[str]:
    """A disease of each set of attributes that safety goes by: a first name that is never wrong."""
    found: dict[tuple[str, ...], str] = {}
    for disease in known.diseases.values():
        if disease.answerable:
            kind = (disease.nature, disease.infection, disease.contagious)
            found.setdefault((*kind, disease.urgency, disease.first_step), disease.name)
    return list(found.values())


def _ambiguous(known: Ontology, truths: Mapping[str, Disease | None]) -> list[str]:
    """Abbreviations of several diseases, one of them a label: "SK" is right for two of them."""
    labels = {truth.name for truth in truths.values() if truth}
    owners: dict[str, set[str]] = {}
    for disease in known.diseases.values():
        for short in disease.abbreviations:
            owners.setdefault(short, set()).add(disease.name)
    return [short for short, of in owners.items() if len(of) > 1 and not of.isdisjoint(labels)]


def _siblings(known: Ontology, truths: Mapping[str, Disease | None]) -> list[str]:
    parents = {parent for truth in truths.values() if truth for parent in truth.parents}
    rows = known.diseases.values()
    return [d.name for d in rows if d.answerable and not parents.isdisjoint(d.parents)]


def _below(known: Ontology) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in known.diseases}
    for disease in known.diseases.values():
        for name in known.ancestors(disease):
            found[name].append(disease.name)
    return found


def _paid(
    known: Ontology,
    names: Sequence[str],
    truths: Mapping[str, Disease | None],
    sibling_credit: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Credit, and `safety_cost` in the first place, of each name for each label `[N, L]`."""
    credits, costs = np.zeros((len(names), len(truths))), np.ones((len(names), len(truths)))
    for row, name in enumerate(names):
        said = known.diseases.get(name)
        reading = None if said else read_name(name, known)
        for column, (label, truth) in enumerate(truths.items()):
            guess = reading.fitting(truth) if reading and truth else said
            if guess is not None and truth is not None:
                found = related(known, guess, truth)
                credits[row, column] = credit(found, sibling_credit)
                costs[row, column] = safety_cost(found)
            elif truth is None and name == label:
                credits[row, column], costs[row, column] = 1.0, 0.0
    return credits, costs


def best_constant_caption(
    captions: Sequence[Mapping[str, FieldValue]], schema: Schema = CLINICAL
) -> ConstantCaption:
    """The caption that is paid most on `captions`, those of cases, answered every time.

    Raises ValueError where no caption knows a field, InputError as `Schema.canonical_fields`.
    """
    references = [schema.canonical_fields(caption) for caption in captions]
    references = [reference for reference in references if reference]
    if not references:
        raise ValueError("no caption knows a field: the best constant caption is unknown")
    found, total = {}, []
    for name, field in schema.fields.items():
        weights: Counter = Counter()
        for reference in references:
            if name in reference:
                weights[tuple(reference[name])] += 1 / len(reference)
        if weights:
            found[name], paid = _best_values(field, weights)
            total.append(paid)
    return ConstantCaption(found, math.fsum(total) / len(references))


def _best_values(field: Field, weights: Mapping[tuple[str, ...], float]) -> tuple[list[str], float]:
    """Values of a field that are paid most for references of these weights."""

    def paid(values: Sequence[str]) -> float:
        return math.fsum(w * field.score(set(values), target) for target, w in weights.items())

    best = max(([value] for value in field.values), key=paid)
    while field.many and len(best) < MOST_VALUES["many"]:
        longer = max(
            ([*best, value] for value in field.values if value not in best), key=paid, default=best
        )
        if paid(longer) <= paid(best):
            break
        best = longer
    return [value for value in field.values if value in best], paid(best)
