"""All cases of a set, several at a time: captions, a file for review, and what it took."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skinflow_jax.data.captioning.attempts import Outcome, Rule, caption_case
from skinflow_jax.data.captioning.prompts import PROMPT_VERSION
from skinflow_jax.data.captioning.subjects import Subject
from skinflow_jax.data.captioning.written import (
    CAPTIONS,
    REVIEW,
    Caption,
    Reviewed,
    case_ids,
    plain,
    write_captions,
    write_review,
)
from skinflow_jax.endpoint.asking import all_of, counted
from skinflow_jax.endpoint.client import Endpoint, Refused, Unanswered
from skinflow_jax.endpoint.journal import BudgetSpent, Journal
from skinflow_jax.errors import InputError, printable


@dataclass
class Report:
    """What came of the cases, and what it took; calls and tokens are the folder's in all."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    reviewed: list[str] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    left: int = 0
    calls: int = 0
    tokens: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """Some lines for people."""
        accepted = sum(outcome.accepted for outcome in self.outcomes.values())
        refusals: Counter[str] = Counter()
        for outcome in self.outcomes.values():
            refusals += outcome.refusals
        lines = [
            f"captions: {accepted:,} accepted, {len(self.reviewed):,} by a person, "
            f"{len(self.outcomes) - accepted:,} to review",
            f"calls: {self.calls:,}, tokens: about {self.tokens:,}",
        ]
        if refusals:
            lines.append(f"captions not taken: {counted(refusals)}")
        if self.refused:
            lines.append(f"{self.refused:,} cases are refused by the endpoint, and to review")
        if self.failures:
            lines.append(f"calls without an answer: {counted(self.failures)}")
        if self.unanswered:
            case_id, why = next(iter(self.unanswered.items()))
            lines.append(
                f"{len(self.unanswered):,} cases got no answer, the first: {case_id} ({why}); "
                "start again to ask again"
            )
        if self.left:
            lines.append(
                f"{self.left:,} cases are left: the budget is spent; raise --max-calls or "
                "--max-tokens and start again"
            )
        return printable_lines(lines)


def printable_lines(lines: Iterable[str]) -> str:
    """Lines of which each is fit for a terminal."""
    return "\n".join(map(printable, lines))


async def caption_subjects(
    subjects: Iterable[Subject],
    rule: Rule,
    endpoint: Endpoint,
    journal: Journal,
    *,
    reviewed: Mapping[str, Reviewed] | None = None,
    concurrency: int = 8,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Captions of all subjects, `concurrency` at a time; reads no more of them than are in work.

    Those in `reviewed` are not asked about. `progress` is told how many are done. Raises InputError
    where the address or the key is refused, and for an id that comes twice.
    """
    report = Report()
    todo, revised, seen = iter(subjects), dict(reviewed or {}), set()

    async def work() -> None:
        for subject in _each_once(todo, seen):
            if subject.case_id in revised:
                report.reviewed.append(subject.case_id)
            else:
                await _caption(subject, rule, endpoint, journal, report)
            done = len(report.reviewed) + len(report.outcomes) + len(report.unanswered)
            progress(done + report.left)

    await all_of([work() for _ in range(concurrency)])
    report.calls, report.tokens, report.failures = journal.calls, journal.tokens, journal.failures
    return report


async def _caption(
    subject: Subject, rule: Rule, endpoint: Endpoint, journal: Journal, report: Report
) -> None:
    try:
        report.outcomes[subject.case_id] = await caption_case(subject, rule, endpoint, journal)
    except Refused as error:
        report.refused += 1
        report.outcomes[subject.case_id] = Outcome(
            subject.case_id, subject.diagnosis, reason=f"the endpoint refuses it: {error}"
        )
    except Unanswered as error:
        report.unanswered[subject.case_id] = str(error)
    except BudgetSpent:
        report.left += 1


def _each_once(subjects: Iterator[Subject], seen: set[str]) -> Iterator[Subject]:
    for subject in subjects:
        if subject.case_id in seen:
            raise InputError(f"case {subject.case_id} is there twice; give each an id of its own")
        seen.add(subject.case_id)
        yield subject


def write_report(
    folder: Path, report: Report, rule: Rule, reviewed: Mapping[str, Reviewed]
) -> None:
    """`captions.jsonl` and `review.jsonl` in `folder`, sorted by case, each whole or not at all."""
    outcomes = [report.outcomes[case_id] for case_id in sorted(report.outcomes)]
    shared = {
        "model": rule.model,
        "reader": rule.reader,
        "prompt_version": PROMPT_VERSION,
        "schema": rule.schema.digest,
    }
    captions = [
        Caption(
            *(o.case_id, plain(o.fields, rule.schema)),
            **shared,
            attempts=o.attempts,
            accepted=by,
            diagnosis=o.diagnosis,
        )
        for o, by in [
            *((outcome, "model") for outcome in outcomes if outcome.accepted),
            *((_as_outcome(reviewed[case_id]), "person") for case_id in report.reviewed),
        ]
    ]
    path, ids = folder / CAPTIONS, {caption.case_id for caption in captions}
    if lost := sorted(case_ids(path) - ids):
        raise InputError(
            f"{path}: holds {len(lost):,} captions that this start has not, first "
            f"{printable(lost[0])}: with another model, schema or budget give another --out, or "
            "remove the file; what was answered is kept"
        )
    write_captions(path, sorted(captions, key=lambda caption: caption.case_id))
    write_review(folder / REVIEW, [o for o in outcomes if not o.accepted], rule.schema)


def _as_outcome(row: Reviewed) -> Outcome:
    return Outcome(row.case_id, row.diagnosis, row.caption, row.attempts)
