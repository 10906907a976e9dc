"""The figures of diagnoses by what is known of a case: skin type, partition, quality, source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from skinflow_jax.errors import printable, shortened
from skinflow_jax.evaluation.figures import groups_of, mean, over
from skinflow_jax.evaluation.metrics import Estimate, top_k
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.tables import Figure, Stage, stages_table

SKIN_TYPES = ("I", "II", "III", "IV", "V", "VI")
MOST_VALUES = 30
"""Of a fact, reported each for itself: of a column that names each case none could be read."""

_FIELDS = {
    "diagnosis reward": "diagnosis_reward",
    "graded score": "graded_score",
    "missed malignancy": "malignancy_missed",
    "missed urgent": "urgent_missed",
    "over-triage": "over_triaged",
    "management agreement": "management_consistent",
}


@dataclass(frozen=True)
class Subgroups:
    """The cases by one fact.

    `rows`: figures by value, each by its label; `untold`: cases of which the fact is not known;
    `further`: cases of values beyond the `MOST_VALUES` most frequent.
    """

    rows: Mapping[str, Mapping[str, Estimate]]
    untold: int
    further: int = 0

    def to_dict(self) -> dict:
        """What metrics.json holds."""
        rows = {
            value: {label: estimate.to_dict() for label, estimate in figures.items()}
            for value, figures in self.rows.items()
        }
        return {"rows": rows, "not told": self.untold, "further": self.further}


def subgroups(diagnoses: Sequence[Prediction]) -> dict[str, Subgroups]:
    """By the name of the fact: those that some case tells."""
    facts: dict[str, Callable[[Prediction], str | None]] = {"skin type": _skin_type}
    for name in sorted({name for p in diagnoses for name in p.partitions}):
        facts[_partition(name)] = lambda p, name=name: p.partitions.get(name)
    facts |= {"quality": lambda p: p.quality, "source": lambda p: p.source}
    found = {name: _by(fact, diagnoses) for name, fact in facts.items()}
    return {name: each for name, each in found.items() if each.rows}


def _partition(name: str) -> str:
    return "ontology's partition" if name == "ontology" else name.replace("_", " ")


def _skin_type(prediction: Prediction) -> str | None:
    return None if prediction.skin_type is None else SKIN_TYPES[prediction.skin_type - 1]


def _by(fact: Callable[[Prediction], str | None], diagnoses: Sequence[Prediction]) -> Subgroups:
    parts: dict[str, list[Prediction]] = {}
    for prediction in diagnoses:
        value = fact(prediction)
        if value:
            parts.setdefault(value, []).append(prediction)
    kept = sorted(parts, key=lambda value: (-len(parts[value]), value))[:MOST_VALUES]
    untold = len(diagnoses) - sum(map(len, parts.values()))
    further = sum(len(rows) for value, rows in parts.items() if value not in kept)
    return Subgroups({value: figures(parts[value]) for value in sorted(kept)}, untold, further)


def figures(diagnoses: Sequence[Prediction]) -> dict[str, Estimate]:
    """What is reported of a subgroup, by label; what none of its cases has is left out."""
    ranks, named = [p.rank for p in diagnoses], {"groups": groups_of(diagnoses)}
    found = {f"Top-{k}": mean(top_k(ranks, k), named) for k in (1, 3, 6)}
    found |= {
        "valid diagnoses": mean([p.valid for p in diagnoses], named),
        "safety-critical": mean([p.safety_critical for p in diagnoses], named),
        "undetermined": mean([p.safety == "undetermined" for p in diagnoses], named),
    }
    if any(p.management_consistent is not None for p in diagnoses):  # not of an earlier file
        found["strict Top-1"] = mean(top_k([p.rank_strict for p in diagnoses], 1), named)
    found |= {label: over(diagnoses, field) for label, field in _FIELDS.items()}
    return {label: estimate for label, estimate in found.items() if estimate.n}


def subgroup_tables(found: Mapping[str, Subgroups]) -> list[RenderableType]:
    """A table for each fact with several values: what is most asked for, a column a figure."""
    tables = []
    for name, each in found.items():
        if len(each.rows) < 2:
            continue
        columns = ("Top-1", "Top-6", "safety-critical")
        stages = [
            Stage(label, tuple(_shown(each, value, label) for value in each.rows))
            for label in columns
        ]
        title = f"{printable(name)}, %" + (f" (not told of {each.untold:,})" if each.untold else "")
        tables.append(stages_table(stages, title=title))
    return tables


def _shown(each: Subgroups, value: str, label: str) -> Figure:
    return Figure(shortened(printable(value), 24), each.rows[value][label])
