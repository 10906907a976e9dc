"""Evaluations of the same cases against each other, case by case."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from skinflow_jax.errors import InputError, printable, shortened
from skinflow_jax.evaluation.figures import OUTCOMES, captions_of, diagnoses_of, groups_of
from skinflow_jax.evaluation.metrics import PairedDifference, paired_difference
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.tables import Comparison

Pair = tuple[Prediction, Prediction]


@dataclass(frozen=True)
class Common:
    """What two evaluations have in common: pairs by task and case, in the order of the second.

    `alone`: of each how many answers the other has not; `changed`: pairs whose references differ.
    """

    pairs: tuple[Pair, ...]
    alone: tuple[int, int]
    changed: int

    def of(self, side: int) -> list[Prediction]:
        """The answers of the first (0) or second (1) evaluation to the common cases."""
        return [pair[side] for pair in self.pairs]


def common(before: Sequence[Prediction], after: Sequence[Prediction]) -> Common:
    """Answers of both by task and case id.

    Raises InputError where one evaluation has a case twice. A case whose reference is another in
    the two is no common one.
    """
    first, second = _by_case(before), _by_case(after)
    both = [(first[key], p) for key, p in second.items() if key in first]
    pairs = tuple(pair for pair in both if pair[0].reference == pair[1].reference)
    alone = len(first) - len(both), len(second) - len(both)
    return Common(pairs, alone, len(both) - len(pairs))


def _by_case(predictions: Sequence[Prediction]) -> dict[tuple[str, str], Prediction]:
    found = {(p.task, p.case_id): p for p in predictions}
    if len(found) < len(predictions):
        counts = Counter((p.task, p.case_id) for p in predictions)
        ((task, name), n), *_ = counts.most_common(1)
        raise InputError(
            f"the {task} of case {shortened(printable(name), 60)} is there {n} times: "
            "give one answer a case"
        )
    return found


def comparisons(
    names: Sequence[str], evaluations: Sequence[Sequence[Prediction]]
) -> list[Comparison]:
    """What each evaluation changed to the one before it, over the cases that both have."""
    found = []
    for (before_name, before), (after_name, after) in pairwise(
        zip(names, evaluations, strict=True)
    ):
        found += compared(f"{after_name} - {before_name}", common(before, after).pairs)
    return found


def compared(label: str, pairs: Sequence[Pair]) -> list[Comparison]:
    """The difference of each figure that is compared; over no cases n = 0."""
    described = [pair for pair in pairs if captions_of(pair) == pair]
    named = [pair for pair in pairs if diagnoses_of(pair) == pair]
    return [
        Comparison(f"{label}, caption reward", changed(described, _field("caption_reward")), False),
        Comparison(f"{label}, Top-1", changed(named, lambda p: p.rank == 1)),
        Comparison(f"{label}, critical or undetermined", changed(named, _unsafe)),
        *(
            Comparison(f"{label}, {name.removesuffix(' %')}", changed(named, _field(field)))
            for name, field in OUTCOMES.items()
        ),
    ]


def changed(pairs: Sequence[Pair], of: Callable[[Prediction], float | None]) -> PairedDifference:
    """The change of a value, over the pairs that have it."""
    having = [pair for pair in pairs if None not in map(of, pair)]
    before, after = ([float(of(pair[i])) for pair in having] for i in (0, 1))
    return paired_difference(before, after, groups=groups_of([pair[1] for pair in having]))


def _unsafe(prediction: Prediction) -> bool | None:
    """Whether the first diagnosis is critical or undetermined; of an earlier file not known."""
    return None if prediction.safety is None else prediction.safety != "none"


def _field(name: str) -> Callable[[Prediction], Any]:
    return lambda prediction: getattr(prediction, name)
