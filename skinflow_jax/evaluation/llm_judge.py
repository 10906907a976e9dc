"""An LLM judge of evaluated diagnoses, after the fact and beside the rules: docs/llm_judge.md.

It is asked by an OpenAI-compatible endpoint. Nothing of it enters a reward, and what it fails to
say is counted, never a score.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from skinflow_jax.clinical.ontology import ontology
from skinflow_jax.endpoint.asking import all_of, check_model, read_key, to_the_end
from skinflow_jax.endpoint.client import Endpoint, Patience
from skinflow_jax.endpoint.journal import Budget, Journal
from skinflow_jax.errors import InputError, printable
from skinflow_jax.evaluation.llm_judge_prompt import PROMPT_VERSION
from skinflow_jax.evaluation.llm_judge_report import Report, rows
from skinflow_jax.evaluation.llm_judge_votes import Failure, Verdict, verdict_of
from skinflow_jax.evaluation.predictions import Prediction, read_predictions
from skinflow_jax.json_file import read_json, write_json
from skinflow_jax.storage.paths import make_folder, write_whole

ANSWERS = "answers.jsonl"
FIGURES = "llm_judge.json"
VERDICTS = "verdicts.jsonl"
DISAGREEMENTS = "disagreements.jsonl"


def run_llm_judge(
    predictions: Path,
    out: Path,
    *,
    base_url: str,
    model: str,
    votes: int = 3,
    key_variable: str | None = None,
    concurrency: int = 8,
    budget: Budget | None = None,
    patience: Patience | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = print,
) -> Report:
    """Ask about each diagnosis of a predictions.jsonl; writes figures, verdicts and disagreements.

    Args:
      predictions: of an evaluation; the names in it and the references go to the endpoint.
      out: a folder; started again with the same one, nothing that was answered is asked again.
      base_url: of the endpoint, up to `/v1`.
      votes: on each diagnosis, of which more than half must agree.
      key_variable: the environment variable with the key; it must be set where it is named here.

    Raises InputError for what was given; what failed at the endpoint is in the report.
    """
    name, key = read_key(key_variable)
    check_model(model)
    diagnoses = [p for p in read_predictions(predictions) if p.task == "diagnosis"]
    if not diagnoses:
        raise InputError(f"{predictions}: holds no diagnosis; evaluate with that task")
    source = {
        "predictions": hashlib.sha256(predictions.read_bytes()).hexdigest(),
        "model": model,
        "prompt_version": PROMPT_VERSION,
    }
    _check_out(out / FIGURES, source)
    endpoint = Endpoint(base_url, key, name, patience)
    say(printable(f"names of diagnoses go to {endpoint.host}"))
    if endpoint.sends_key_in_clear:
        say("warning: this is not https: others on the way can read the key")
    if {p.ontology for p in diagnoses} - {ontology().digest, None}:
        say("the rules' figures are by another ontology than the one that reads the names here")
    make_folder(out)
    with Journal(out / ANSWERS, budget or Budget()) as journal:
        work = _verdicts(diagnoses, model, votes, endpoint, journal, concurrency, progress)
        found = to_the_end(work)
        took = journal.calls, journal.tokens, dict(journal.failures)
        report = Report(tuple(found), *took, _fault(found, endpoint, model))
        _write(out, report, source | {"votes": votes, "ontology": ontology().digest})
    return report


async def _verdicts(
    predictions: Sequence[Prediction],
    model: str,
    votes: int,
    endpoint: Endpoint,
    journal: Journal,
    concurrency: int,
    progress: Callable[[int, int], None],
) -> list[Verdict]:
    """In the order of the predictions, `concurrency` at a time."""
    found: dict[int, Verdict] = {}
    left = iter(enumerate(predictions))

    async def work() -> None:
        for number, prediction in left:
            found[number] = await verdict_of(prediction, model, votes, endpoint, journal)
            progress(len(found), len(predictions))

    async with endpoint:
        await all_of([work() for _ in range(concurrency)])
    return [found[number] for number in range(len(predictions))]


def _check_out(path: Path, source: dict) -> None:
    """Raise InputError where figures of other predictions or another model would be lost."""
    if not path.is_file():
        return
    known = read_json(path)
    other = next((name for name, value in source.items() if known.get(name) != value), None)
    if other:
        raise InputError(
            f"{path}: holds figures with another {other.replace('_', ' ')}; give another --out, or "
            "remove the file: what was answered is kept"
        )


def _write(out: Path, report: Report, source: dict) -> None:
    write_whole(out / VERDICTS, rows(report.verdicts))
    write_whole(out / DISAGREEMENTS, rows(report.disagreements))
    write_json(out / FIGURES, source | report.to_dict())


def _fault(found: Sequence[Verdict], endpoint: Endpoint, model: str) -> str:
    """Why the endpoint cannot be used: given up, silent, or of no use to any case."""
    votes = [vote for verdict in found for vote in verdict.votes]
    lost = [vote for vote in votes if vote.failure not in (None, Failure.BUDGET)]
    silent = not endpoint.successes and any(vote.failure == Failure.UNANSWERED for vote in lost)
    useless = lost and not any(vote.accepted is not None for vote in votes)
    if not (endpoint.down or silent or useless):
        return ""
    why = endpoint.down or f"{lost[0].failure} ({lost[0].said})".removesuffix(" ()")
    return (
        f"{endpoint.host} gave no usable reply for {len(lost):,} of {len(votes):,} votes: {why}; "
        f"see that it works, has {model} and takes temperature and seed, and start again: what it "
        "answered is kept"
    )
