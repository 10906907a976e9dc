"""The cases of a page: what was shown, the truth, and what each evaluation answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skinflow_jax.clinical import CLINICAL, Schema, ranked_diagnoses
from skinflow_jax.clinical.safety_in_words import why_missed, why_unsafe
from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.report.captions import FieldShown, fields_of
from skinflow_jax.evaluation.report.evaluations import Joined

MOST_SHOWN = 2000
"""Cases of the gallery; those that are critical or missed go first."""

OUTCOMES = {
    "right": "first diagnosis right",
    "six": "right among six",
    "wrong": "none right",
    "critical": "critical",
    "undetermined": "undetermined",
    "malignancy": "missed malignancy",
    "urgent": "missed urgent",
    "over": "over-triage",
    "refused": "answer refused",
}
"""What cases can be chosen by, and what it is called."""

DANGEROUS = ("critical", "malignancy", "urgent")
"""What the page of safety lists."""


@dataclass(frozen=True)
class Answer:
    """What one evaluation answered to a case: `ranked` diagnoses of which `rank` is right.

    `reasons`: why the first diagnosis is dangerous; `raw`: the text, where it has not the form that
    was asked for, or answers a question.
    """

    run: str
    ranked: tuple[str, ...]
    rank: int | None
    outcomes: tuple[str, ...]
    reasons: tuple[str, ...]
    caption: tuple[FieldShown, ...]
    raw: tuple[tuple[str, str, str], ...]

    @property
    def dangerous(self) -> bool:
        """Whether it belongs on the page of safety."""
        return bool(set(self.outcomes) & set(DANGEROUS))


@dataclass(frozen=True)
class CaseShown:
    """A case; `number` names it on the page."""

    number: int
    case_id: str
    group: str
    truth: str
    skin_type: int | None
    partitions: Mapping[str, str]
    answers: tuple[Answer, ...]

    @property
    def dangerous(self) -> bool:
        """Whether an answer to it is."""
        return any(answer.dangerous for answer in self.answers)

    @property
    def outcomes(self) -> list[str]:
        """Of every answer, as "0:critical": which evaluation, and what."""
        return [f"{i}:{name}" for i, a in enumerate(self.answers) for name in a.outcomes]


def cases_of(joined: Joined, schema: Schema = CLINICAL) -> list[CaseShown]:
    """Every case once, those with a dangerous answer first, else in the order of the file."""
    runs: list[dict[str, dict[str, Prediction]]] = []
    for each in joined.evaluations:
        by_case: dict[str, dict[str, Prediction]] = {}
        for p in each.predictions:
            by_case.setdefault(p.case_id, {})[p.task] = p
        runs.append(by_case)
    names = [each.name for each in joined.evaluations]
    cases = [
        _case(number, case_id, names, [run[case_id] for run in runs], schema)
        for number, case_id in enumerate(runs[0])
    ]
    return sorted(cases, key=lambda case: not case.dangerous)


def _case(number, case_id, names: Sequence[str], tasks: Sequence[Mapping], schema) -> CaseShown:
    first = tasks[0]
    any_ = next(iter(first.values()))
    diagnosis = first.get("diagnosis")
    return CaseShown(
        number,
        case_id,
        any_.group if any_.group != case_id else "",
        diagnosis.reference if diagnosis else "",
        any_.skin_type,
        diagnosis.partitions if diagnosis else {},
        tuple(_answer(name, of, schema) for name, of in zip(names, tasks, strict=True)),
    )


def _answer(name: str, tasks: Mapping[str, Prediction], schema: Schema) -> Answer:
    diagnosis, caption = tasks.get("diagnosis"), tasks.get("caption")
    raw = []
    for task, p in tasks.items():
        if task == "question":
            raw.append((f"question, expected: {p.reference}", p.text, ""))
        elif not p.valid:
            raw.append((f"{task}, refused", p.text, p.refusal or ""))
    return Answer(
        name,
        tuple(ranked_diagnoses(diagnosis.text)) if diagnosis and diagnosis.valid else (),
        diagnosis.rank if diagnosis else None,
        tuple(_outcomes(diagnosis)) if diagnosis else (),
        tuple(reasons(diagnosis)) if diagnosis else (),
        tuple(fields_of(caption, schema)) if caption else (),
        tuple(raw),
    )


def _outcomes(p: Prediction):
    yield "right" if p.rank == 1 else "six" if p.rank else "wrong"
    flags = {
        "critical": p.safety == "critical",
        "undetermined": p.safety == "undetermined",
        "malignancy": p.malignancy_missed,
        "urgent": p.urgent_missed,
        "over": p.over_triaged,
        "refused": not p.valid,
    }
    yield from (name for name, flag in flags.items() if flag)


def reasons(p: Prediction) -> list[str]:
    """Why a first diagnosis is dangerous, a sentence by rule each; empty where it is not."""
    critical = p.safety == "critical"
    try:
        said = why_unsafe(p.first or "", p.reference) if critical else ""
        stake = why_missed(p.reference)
    except InputError:  # an empty one
        return ["The true diagnosis is not told."] if critical else []
    found = [said or "Critical when it was evaluated, not by the rules of today."] * critical
    missed = {"malignancy_missed": p.malignancy_missed, "urgent_missed": p.urgent_missed}
    for name in (name for name, flag in missed.items() if flag):
        sentence = stake.get(name, "Missed when it was evaluated, not by the ontology of today.")
        # Both begin with what the truth is: once is enough.
        if sentence.partition(";")[0] != said.partition(";")[0]:
            found.append(sentence)
    return found
