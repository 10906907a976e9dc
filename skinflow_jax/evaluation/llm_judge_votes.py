"""Votes of an LLM judge on one prediction, and the verdict that a majority of them gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from skinflow_jax.endpoint.client import Endpoint, Refused, Unanswered
from skinflow_jax.endpoint.journal import BudgetSpent, Journal, request_key
from skinflow_jax.evaluation.llm_judge_prompt import (
    Question,
    accepted_ranks,
    question_of,
    request,
)
from skinflow_jax.evaluation.predictions import Prediction


class Failure(StrEnum):
    """Why a vote does not count, or a case has no verdict (the last two are of cases)."""

    UNANSWERED = "no answer"
    REFUSED = "refused by the endpoint"
    BUDGET = "budget spent"
    EMPTY = "empty reply"
    CUT = "reply cut short"
    NONSENSE = "reply of another form"
    TIED = "no majority"
    UNREAD = "answer not read"


@dataclass(frozen=True)
class Vote:
    """The ranks that a vote accepts, or None and why it does not count.

    `said`: what the endpoint said of a request that it did not answer.
    """

    accepted: frozenset[int] | None
    failure: Failure | None = None
    said: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the votes on a prediction come to.

    `rank`: from 1, of the first diagnosis that is accepted; None without one. It says something
    only where `failure` is None. An answer that is no list of diagnoses is asked nothing about: it
    accepts nothing, as by the rules.
    """

    prediction: Prediction
    question: Question
    votes: tuple[Vote, ...]
    rank: int | None
    failure: Failure | None

    @property
    def split(self) -> bool:
        """Whether votes that count differ."""
        return len({vote.accepted for vote in self.votes if vote.accepted is not None}) > 1


async def verdict_of(
    prediction: Prediction, model: str, votes: int, endpoint: Endpoint, journal: Journal
) -> Verdict:
    """The verdict on a diagnosis. Raises InputError where the address or the key is refused."""
    question = question_of(prediction)
    if not prediction.valid or not question.diagnoses:
        # A text that another version of the program could read is no miss.
        failure = Failure.UNREAD if prediction.valid else None
        return Verdict(prediction, question, (), None, failure)
    given = [
        await _vote(question, model, number, endpoint, journal) for number in range(1, votes + 1)
    ]
    return Verdict(prediction, question, tuple(given), *decide(given, len(question.diagnoses)))


async def _vote(
    question: Question, model: str, number: int, endpoint: Endpoint, journal: Journal
) -> Vote:
    body = request(question, model, number)
    try:
        answer = await endpoint.ask(body, request_key(body, number), journal)
    except Refused as error:
        return Vote(None, Failure.REFUSED, str(error))
    except Unanswered as error:
        return Vote(None, Failure.UNANSWERED, str(error))
    except BudgetSpent:
        return Vote(None, Failure.BUDGET)
    if not answer.whole:
        return Vote(None, Failure.CUT)
    if not answer.text.strip():
        return Vote(None, Failure.EMPTY)
    try:
        return Vote(accepted_ranks(answer.text, question, number))
    except ValueError:
        return Vote(None, Failure.NONSENSE)


def decide(votes: Sequence[Vote], names: int) -> tuple[int | None, Failure | None]:
    """The rank of the first of `names` diagnoses that most of all votes accept; None without one.

    More than half of the votes that were asked for must agree on each diagnosis down to that one,
    lost votes among them: else there is no verdict, and the second value says why.
    """
    needed = len(votes) // 2 + 1
    counted = [vote.accepted for vote in votes if vote.accepted is not None]
    for rank in range(1, names + 1):
        accepting = sum(rank in accepted for accepted in counted)
        if accepting >= needed:
            return rank, None
        if len(counted) - accepting < needed:
            lost = next((vote.failure for vote in votes if vote.failure), None)
            return None, Failure.TIED if len(counted) >= needed else lost
    return None, None
