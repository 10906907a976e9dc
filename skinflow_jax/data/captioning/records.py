"""Captions for the cases of a folder that `skinflow data build` wrote."""

from collections.abc import Callable, Mapping
from pathlib import Path

from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.schema_file import load_schema
from skinflow_jax.data.captioning.attempts import Rule
from skinflow_jax.data.captioning.run import Report, caption_subjects, write_report
from skinflow_jax.data.captioning.subjects import subjects_of, undiagnosed
from skinflow_jax.data.captioning.written import (
    REVIEW,
    REVIEWED,
    Reviewed,
    read_review,
    write_reviewed,
)
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.endpoint.asking import check_model, read_key, to_the_end
from skinflow_jax.endpoint.client import Endpoint, Patience
from skinflow_jax.endpoint.journal import Budget, Journal
from skinflow_jax.errors import InputError, RunError, printable
from skinflow_jax.storage.paths import make_folder

ANSWERS = "answers.jsonl"


def caption_records(
    records: RecordSet,
    out: Path,
    *,
    base_url: str,
    model: str,
    reader: str | None = None,
    schema: str | Path = "clinical",
    key_variable: str | None = None,
    within: int = 1,
    concurrency: int = 8,
    budget: Budget | None = None,
    patience: Patience | None = None,
    review: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = print,
) -> Report:
    """Write `captions.jsonl` and `review.jsonl` to `out`; what it was answered is kept there.

    Args:
      records: whose cases with a diagnosis are described; their images go to the endpoint.
      out: a folder; started again with the same one, nothing that was answered is asked again.
      base_url: of the endpoint, up to `/v1`.
      model: that sees the images; `reader` recovers the diagnosis, by default the same one.
      key_variable: the environment variable with the key; it must be set where it is named here.
      review: a review file as a person edited it.

    Raises InputError for what was given, RunError, once the files are written, where the endpoint
    gave no answer at all or was given up.
    """
    name, key = read_key(key_variable)
    check_model(model)
    check_model(model if reader is None else reader, "--reader")
    rule = Rule(model, reader or model, load_schema(schema), within)
    given = read_review(review, rule.schema) if review else {}
    _check_review(given, records, review)
    endpoint = Endpoint(base_url, key, name, patience)
    if review and review.resolve() == (out / REVIEW).resolve():
        raise InputError(f"{review} would be written over; copy it and give the copy")
    say(printable(f"images go to {endpoint.host}: {records.manifest.note or 'no licence is told'}"))
    if endpoint.sends_key_in_clear:
        say("warning: this is not https: others on the way can read the key and the images")
    if missing := undiagnosed(records):
        say(f"{missing:,} cases without a diagnosis are left out")
    total = len(records) - missing
    make_folder(out)

    kept = out / REVIEWED

    async def work(journal: Journal, revised: dict[str, Reviewed]) -> Report:
        async with endpoint:
            return await caption_subjects(
                subjects_of(records),
                rule,
                endpoint,
                journal,
                reviewed=revised,
                concurrency=concurrency,
                progress=lambda done: progress(done, total),
            )

    with Journal(out / ANSWERS, budget or Budget()) as journal:
        # Read once nobody else writes here.
        revised = (read_review(kept, rule.schema) if kept.is_file() else {}) | given
        _check_review(revised, records, kept)
        _check_untouched(out / REVIEW, rule.schema, revised)
        report = to_the_end(work(journal, revised))
        write_reviewed(kept, revised.values())
        failure = _failure(report, endpoint, model)
        try:
            write_report(out, report, rule, revised)
        except InputError as error:  # what is there is more, and stays
            raise failure or error from None
    if failure is not None:
        raise failure
    return report


def _failure(report: Report, endpoint: Endpoint, model: str) -> RunError | None:
    """Why the endpoint is at fault, None where it is not."""
    if report.refused and not any(outcome.attempts for outcome in report.outcomes.values()):
        why = next(iter(report.outcomes.values())).reason
        return RunError(
            f"{endpoint.host} gave no case an answer: {printable(why)}; see that it has {model} "
            "and takes images, and start again"
        )
    if report.unanswered and (endpoint.down is not None or not endpoint.successes):
        case_id, why = next(iter(report.unanswered.items()))
        return RunError(
            f"{endpoint.host} gave {len(report.unanswered):,} cases no answer, the first: "
            f"{printable(case_id)} ({why}); what it answered is kept: see that it works, and that "
            f"it has {model} and takes images, and start again"
        )
    return None


def _check_review(rows: Mapping[str, Reviewed], records: RecordSet, path: Path | None) -> None:
    """Raise InputError for a line of another case, before anything is paid for."""
    cases = (records.case(index) for index in range(len(records))) if rows else ()
    diagnoses = {case.case_id: case.diagnosis for case in cases}
    for case_id, row in rows.items():
        if case_id not in diagnoses:
            raise InputError(f"{path}: case {case_id} is none of {records.folder}; remove it")
        if row.diagnosis != diagnoses[case_id]:
            raise InputError(
                f"{path}: the review has case {case_id} as {row.diagnosis}, and it is "
                f"{diagnoses[case_id]}: is the review of other data?"
            )


def _check_untouched(path: Path, schema: Schema, known: Mapping[str, Reviewed]) -> None:
    """Raise InputError where a person accepted lines in the file that would be written over."""
    lines = read_review(path, schema) if path.is_file() else {}
    new = [name for name, row in lines.items() if name not in known or row != known[name]]
    if new:
        raise InputError(
            f"{path}: {len(new):,} lines are accepted there, first {printable(new[0])}, and would "
            "be written over; copy the file and give the copy as --review"
        )
