"""Captions for the cases of a folder that `skinflow data build` wrote."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from skinflow_jax.clinical.schema_file import load_schema
from skinflow_jax.data.captioning.attempts import Rule
from skinflow_jax.data.captioning.endpoint import Endpoint, Patience
from skinflow_jax.data.captioning.journal import Budget, Journal
from skinflow_jax.data.captioning.run import Report, caption_subjects, write_report
from skinflow_jax.data.captioning.subjects import subjects_of, undiagnosed
from skinflow_jax.data.captioning.written import REVIEW, REVIEWED, read_review, write_reviewed
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.errors import STOPPED, InputError, RunError, printable
from skinflow_jax.storage.paths import make_folder

ANSWERS = "answers.jsonl"
DEFAULT_KEY = "OPENAI_API_KEY"


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
    name = key_variable or DEFAULT_KEY
    key = os.environ.get(name, "").strip() or None
    if key_variable and key is None:
        raise InputError(f"environment variable {name} is not set; it must hold the key")
    rule = Rule(model, reader or model, load_schema(schema), within)
    given = read_review(review, rule.schema) if review else {}
    kept = out / REVIEWED
    revised = (read_review(kept, rule.schema) if kept.is_file() else {}) | given
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

    async def work(journal: Journal) -> Report:
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
        report = to_the_end(work(journal))
        if absent := sorted(set(given) - set(report.reviewed)):
            raise InputError(f"{review}: case {absent[0]} is none of {records.folder}; remove it")
        write_reviewed(kept, revised.values())
        write_report(out, report, rule, revised)
    if report.unanswered and (endpoint.down is not None or not endpoint.successes):
        case_id, why = next(iter(report.unanswered.items()))
        raise RunError(
            f"{endpoint.host} gave {len(report.unanswered):,} cases no answer, the first: "
            f"{printable(case_id)} ({why}); what it answered is kept: see that it works, and that "
            f"it has {model} and takes images, and start again"
        )
    return report


def to_the_end(work: Coroutine[Any, Any, Report]) -> Report:
    """`asyncio.run` that a signal ends wherever it comes: a callback's errors are only logged."""
    stopped: list[BaseException] = []

    async def watched() -> Report:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if isinstance(context.get("exception"), STOPPED):
                stopped.append(context["exception"])
                task.cancel()
            else:
                loop.default_exception_handler(context)

        loop.set_exception_handler(handle)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        if stopped:
            raise stopped[0] from None
        raise
