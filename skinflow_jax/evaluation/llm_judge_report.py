"""Figures by an LLM judge beside those by the rules, and how far the two agree."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from rich.console import Group, RenderableType

from skinflow_jax.endpoint.asking import counted
from skinflow_jax.errors import RunError, printable
from skinflow_jax.evaluation.llm_judge_votes import Failure, Verdict
from skinflow_jax.evaluation.metrics import (
    MAX_RANK,
    mean_with_interval,
    paired_difference,
    top_k,
    top_k_estimates,
)
from skinflow_jax.evaluation.summary import groups_of
from skinflow_jax.evaluation.tables import (
    Comparison,
    Figure,
    Stage,
    evaluation_table,
    stages_table,
)

RULES, LLM = "rules", "LLM judge"


@dataclass(frozen=True)
class Report:
    """All figures are over the cases with a verdict, those by the rules too.

    `calls`, `tokens` and `unanswered` (calls without an answer, by kind) are the folder's in all.
    `fault`: why the endpoint cannot be used, "" where it can.
    """

    verdicts: tuple[Verdict, ...]
    calls: int
    tokens: int
    unanswered: Mapping[str, int]
    fault: str = ""

    @cached_property
    def decided(self) -> list[Verdict]:
        """The cases with a verdict."""
        return [verdict for verdict in self.verdicts if verdict.failure is None]

    @property
    def disagreements(self) -> list[Verdict]:
        """Those whose first accepted diagnosis is another by the rules, or none by one of both."""
        return [verdict for verdict in self.decided if verdict.rank != verdict.prediction.rank]

    @property
    def asked(self) -> list[Verdict]:
        """Those about which there was a question."""
        return [verdict for verdict in self.verdicts if verdict.votes]

    @cached_property
    def stages(self) -> tuple[Stage, Stage]:
        """Top-1 … Top-6 by the rules and by the LLM judge."""
        return tuple(
            Stage(
                name,
                tuple(
                    Figure(f"Top-{k} %", estimate)
                    for k, estimate in enumerate(top_k_estimates(ranks, groups=self._groups), 1)
                ),
            )
            for name, ranks in zip((RULES, LLM), self._ranks, strict=True)
        )

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """What the LLM judge accepts more or less than the rules."""
        before, after = self._ranks
        return tuple(
            Comparison(
                f"{LLM} - {RULES}, Top-{k}",
                paired_difference(top_k(before, k), top_k(after, k), groups=self._groups),
            )
            for k in (1, MAX_RANK)
        )

    @cached_property
    def agreement(self) -> tuple[Figure, ...]:
        """In how many of the cases both say the same."""
        before, after = self._ranks
        alike = {
            f"agree on Top-{k} %": top_k(before, k) == top_k(after, k) for k in (1, MAX_RANK)
        } | {"agree on the rank %": [a == b for a, b in zip(before, after, strict=True)]}
        return tuple(
            Figure(label, mean_with_interval([float(a) for a in values], groups=self._groups))
            for label, values in alike.items()
        )

    @property
    def _ranks(self) -> tuple[list[int | None], list[int | None]]:
        return [v.prediction.rank for v in self.decided], [v.rank for v in self.decided]

    @property
    def _groups(self) -> list[str]:
        return groups_of([verdict.prediction for verdict in self.decided])

    def table(self) -> RenderableType:
        """The figures for the console."""
        changed = [c for c in self.comparisons if c.difference.n]
        return Group(stages_table(self.stages, changed), "", evaluation_table(self.agreement))

    def lines(self) -> list[str]:
        """In words what the figures are over, what has no verdict, and what it took."""
        decided, total = len(self.decided), len(self.verdicts)
        lines = [f"figures are over the {decided:,} of {total:,} cases that have a verdict"]
        if unasked := sum(not v.votes for v in self.decided):
            lines.append(f"{unasked:,} of them are no list of diagnoses: misses by both, not asked")
        if without := self.without:
            lines.append(f"without a verdict: {counted(without)}")
        split = sum(verdict.split for verdict in self.asked)
        lines.append(f"votes are split in {split:,} of {len(self.asked):,} cases asked about")
        if lost := self.lost:
            lines.append(f"votes that do not count: {counted(lost)}")
        lines.append(f"disagreements: {len(self.disagreements):,}")
        lines.append(f"calls: {self.calls:,}, tokens: about {self.tokens:,}")
        if self.unanswered:
            lines.append(f"calls without an answer: {counted(self.unanswered)}")
        if Failure.BUDGET in without:
            lines.append("the budget is spent: raise --max-calls or --max-tokens and start again")
        elif Failure.UNANSWERED in lost:
            lines.append("start again to ask again what got no answer")
        return list(map(printable, lines))

    @property
    def without(self) -> Counter[str]:
        """Cases without a verdict, by why."""
        return Counter(verdict.failure for verdict in self.verdicts if verdict.failure)

    @property
    def lost(self) -> Counter[str]:
        """Votes that do not count, by why."""
        return Counter(v.failure for verdict in self.asked for v in verdict.votes if v.failure)

    def check(self) -> None:
        """Raise RunError where the endpoint cannot be used; what it answered is kept."""
        if self.fault:
            raise RunError(printable(self.fault))

    def to_dict(self) -> dict:
        """The figures as `metrics.json` has them: shares between 0 and 1."""
        return {
            **{stage.name: _figures(stage.figures) for stage in self.stages},
            "difference": {c.label: c.difference.to_dict() for c in self.comparisons},
            "agreement": _figures(self.agreement),
            "cases": len(self.verdicts),
            "cases with a verdict": len(self.decided),
            "cases without a verdict": dict(sorted(self.without.items())),
            "cases asked about": len(self.asked),
            "cases with split votes": sum(verdict.split for verdict in self.asked),
            "votes that do not count": dict(sorted(self.lost.items())),
            "disagreements": len(self.disagreements),
        }


def _figures(figures: Sequence[Figure]) -> dict:
    return {f.label.removesuffix(" %"): f.estimate.to_dict() for f in figures}


def row(verdict: Verdict) -> dict:
    """A line of `verdicts.jsonl` and `disagreements.jsonl`."""
    return {
        "case_id": verdict.prediction.case_id,
        **asdict(verdict.question),
        "rank_by_rules": verdict.prediction.rank,
        "rank_by_llm_judge": verdict.rank,
        "no_verdict": verdict.failure,
        "votes": [
            vote.failure if vote.accepted is None else sorted(vote.accepted)
            for vote in verdict.votes
        ],
    }


def rows(verdicts: Sequence[Verdict]) -> str:
    """The text of such a file; JSON in ASCII, as `predictions.jsonl`."""
    return "".join(json.dumps(row(verdict)) + "\n" for verdict in verdicts)
