"""Several ranked lists of diagnoses for one case, merged into one by votes.

The rule is our choice, after Borda (1784): a disease has 6 points of each list that ranks it first,
5 where it is second, … 1 where it is sixth, none where it is not listed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from skinflow_jax.clinical.parsing import MOST_DIAGNOSES
from skinflow_jax.clinical.rewards import disease_key, distinct, ranked_diagnoses


@dataclass(frozen=True)
class Lists:
    """How a diagnosis is decoded: one greedy list, or `samples` sampled ones, merged by votes.

    `temperature`: of the sampling. `seed`: with the case id it says which lists are drawn.
    """

    samples: int = 1
    temperature: float = 1.0
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.samples} lists sampled at temperature {self.temperature:g}, merged by votes"


def merged(lists: Sequence[Sequence[str]]) -> list[str]:
    """One to six diagnoses, best first, of ranked `lists`; empty where all of these are empty.

    However a disease is written it is one, counted once a list, at its best rank there; it is
    written as it first occurs. Equal points go by the best rank in any list, then by the first
    occurrence, list after list: the order of the lists decides only what is equal in both.
    """
    written: dict[tuple[bool, str], str] = {}
    ranks: dict[tuple[bool, str], list[int]] = {}
    for names in lists:
        for rank, name in enumerate(distinct(names)[:MOST_DIAGNOSES]):
            key = disease_key(name)
            written.setdefault(key, name)
            ranks.setdefault(key, []).append(rank)

    def place(key):
        return -sum(MOST_DIAGNOSES - rank for rank in ranks[key]), min(ranks[key])

    return [written[key] for key in sorted(written, key=place)[:MOST_DIAGNOSES]]


def merged_answer(texts: Sequence[str]) -> tuple[str, float | None]:
    """The merged list of several answers as an answer of our form, and the confidence in it.

    That is the share of all `texts` that name its first diagnosis first. Refused texts have no
    vote; where all are, the first stands for them, and there is no confidence.
    """
    lists = [ranked_diagnoses(text) for text in texts]
    names = merged(lists)
    if not names:
        return texts[0], None
    first = disease_key(names[0])
    agreeing = sum(bool(listed) and disease_key(listed[0]) == first for listed in lists)
    # Not as ASCII: six escaped names may be longer than an answer may be.
    return json.dumps({"diagnoses": names}, ensure_ascii=False), agreeing / len(texts)
