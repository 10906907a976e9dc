"""The evaluation of answers that lie in files, of any system: no model, no accelerator."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from skinflow_jax.clinical.constant_answers import best_constant_diagnoses
from skinflow_jax.clinical.listed import FORMS
from skinflow_jax.command.standard_output import Console
from skinflow_jax.errors import InputError, RunError, printable
from skinflow_jax.evaluation.answer_files import joined, read_answers, read_references
from skinflow_jax.evaluation.answers import evaluate_answer
from skinflow_jax.evaluation.comparing import Common, common
from skinflow_jax.evaluation.figures import canonical
from skinflow_jax.evaluation.floor import Floor
from skinflow_jax.evaluation.predictions import Prediction, read_predictions, write_predictions
from skinflow_jax.evaluation.summary import (
    Summary,
    blind_lines,
    stages_report,
    stages_report_markdown,
    summarise,
    tables,
)
from skinflow_jax.storage.paths import is_folder, make_folder, reaching

PREDICTIONS = "predictions.jsonl"
_MOST_DISEASES = 1000
"""The most frequent ones, of which the best constant answers are chosen."""


def evaluate_files(
    *,
    predictions: Path | None,
    references: Path | None,
    compare: tuple[Path, Path] | None,
    out: Path | None,
    answers: str | None,
    missing: str | None,
) -> None:
    """`skinflow evaluate` without a checkpoint, by the names of its arguments."""
    if compare is not None:
        compare_evaluations(*compare, out)
    elif predictions is not None:
        kind = {"form": answers or "json", "missing_are_invalid": missing == "invalid"}
        evaluate_answers(predictions, references, out, **kind)


def evaluate_answers(
    predictions: Path,
    references: Path | None = None,
    out: Path | None = None,
    *,
    form: str = "json",
    missing_are_invalid: bool = False,
) -> Summary:
    """Evaluate the diagnoses of a file and print the table; with `out` also write both files.

    Args:
      predictions, references: see `evaluation.answer_files`; by default the first has both.
      form: how the answers list their diagnoses, one of `clinical.listed.FORMS`.
      missing_are_invalid: whether a reference without an answer counts as an invalid one.

    Raises InputError naming file, row and remedy.
    """
    answers, told = read_answers(predictions)
    asked, also = read_references(references or predictions)
    pairs, missing = joined(answers, asked, missing_are_invalid=missing_are_invalid)
    evaluated = [
        evaluate_answer(answer.text, case, answer.likelihood, FORMS[form]) for answer, case in pairs
    ]
    if missing:
        also.append(f"{missing:,} references have no answer: each counts as an invalid one")
    if not evaluated:
        raise InputError(f"{predictions}: holds no diagnosis to evaluate")
    summary = summarise(evaluated, _floor(evaluated))
    Console().print(*tables(summary, title=printable(str(predictions))))
    chosen = "the constant answers were chosen on these very cases"
    for line in [*dict.fromkeys(told + also), *blind_lines(summary), chosen]:
        print(printable(line))
    _write(out, evaluated, summary)
    return summary


def compare_evaluations(first: Path, second: Path, out: Path | None = None) -> list[Summary]:
    """Two evaluations (folders with, or files of predictions) on the cases that both have.

    Raises InputError where they have none in common.
    """
    files = [path / PREDICTIONS if is_folder(path) else path for path in (first, second)]
    found = common(*map(read_predictions, files))
    names = _names(files)
    told = _told(found, names)
    print(printable(told))
    if not found.pairs:
        raise InputError(f"{files[0]} and {files[1]} have no case in common: compare others")
    sides = [found.of(0), found.of(1)]
    summaries = [summarise(rows, _floor(rows)) for rows in sides]
    Console().print(stages_report(names, summaries))
    if out is not None:
        with reaching(out, RunError):
            make_folder(out)
            text = f"{told}\n\n{stages_report_markdown(names, summaries)}"
            (out / "comparison.md").write_text(printable_lines(text), encoding="utf-8")
        print(printable(f"written: {out}/comparison.md"))
    return summaries


def printable_lines(text: str) -> str:
    """`printable` line by line."""
    return "".join(printable(line) + "\n" for line in text.split("\n"))


def _told(found: Common, names: Sequence[str]) -> str:
    cases = len({pair[1].case_id for pair in found.pairs})
    apart = [
        f"{n:,} answers only in {name}" for n, name in zip(found.alone, names, strict=True) if n
    ]
    if found.changed:
        apart.append(f"{found.changed:,} with another reference in each")
    said = f"compared on the {len(found.pairs):,} answers to {cases:,} cases that both have"
    return f"{said}; left out: {', '.join(apart)}" if apart else said


def _names(files: Sequence[Path]) -> list[str]:
    """What tells the two apart: their folders, or places where these are called the same."""
    names = [file.parent.name or str(file) for file in files]
    return names if names[0] != names[1] else ["first", "second"]


def _floor(evaluated: Sequence[Prediction]) -> Floor:
    """Of the evaluated cases themselves, since those of training are not known."""
    labels = [p.reference for p in evaluated if p.task == "diagnosis"]
    diseases = list(map(canonical, labels))
    kept = {name for name, _ in Counter(diseases).most_common(_MOST_DISEASES)}
    chosen = [name for name in diseases if name in kept]
    return Floor(tuple(labels), best_constant_diagnoses(chosen) if chosen else None, None)


def _write(out: Path | None, evaluated: Sequence[Prediction], summary: Summary) -> None:
    if out is None:
        return
    with reaching(out, RunError):
        write_predictions(evaluated, out / PREDICTIONS)
        told = json.dumps(summary.to_dict(), indent=1, allow_nan=False)
        (out / "metrics.json").write_text(told, encoding="utf-8")
    print(printable(f"written: {out}/ (metrics.json, {PREDICTIONS})"))
