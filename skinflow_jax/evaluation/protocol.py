"""The protocol: greedy answers to held-out cases, each evaluated by the clinical rules."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import numpy as np

from skinflow_jax.clinical import (
    caption_reward,
    first_accepted,
    parse_caption,
    ranked_diagnoses,
    relation,
)
from skinflow_jax.clinical.wording import same_answer
from skinflow_jax.data.pipeline import Batch, Example
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.parallel import local_rows, place_batch
from skinflow_jax.parallel.agreement import agreed, gather
from skinflow_jax.parallel.peers import moved
from skinflow_jax.rl.sampler import sample
from skinflow_jax.rl.token_choice import GREEDY
from skinflow_jax.storage.paths import make_folder


@dataclass(frozen=True)
class Prediction:
    """One answer and its evaluation.

    Caption cases have `caption_reward` and `valid`; diagnosis cases have `rank` (of the first
    accepted diagnosis, None without one), `first` (the first diagnosis as written), `valid` and
    `safety_critical` (the first diagnosis crosses benign/malignant or infectious/not); questions
    have `valid` (not empty) and `equal` (to the row's answer). `group` is the case's patient or
    lesion, which intervals go by.
    """

    case_id: str
    task: str
    text: str
    reference: str
    valid: bool
    caption_reward: float | None = None
    rank: int | None = None
    first: str | None = None
    safety_critical: bool = False
    equal: bool | None = None
    group: str = ""


def predict(
    model: Vlm,
    batches: Iterable[Batch],
    tokenizer,
    *,
    max_tokens: int,
    compute: ComputeConfig,
    mesh=None,
) -> list[Prediction]:
    """The greedy answer to every case of `batches` (see `evaluation_batches`), evaluated.

    Of several processes each evaluates its own rows of a batch; all get the predictions of all.
    """
    predictions = []
    for batch in agreed(iter(batches)):
        rollout = sample(
            model,
            place_batch(batch.inputs, mesh),
            jax.random.key(0),
            place_batch(np.arange(len(batch.examples)), mesh),
            GREEDY,
            group_size=1,
            max_tokens=max_tokens,
            compute=compute,
        )
        tokens, mask = local_rows(rollout.tokens)[:, 0], local_rows(rollout.mask)[:, 0]
        own = [
            evaluate_answer(tokenizer.decode(tokens[row][mask[row]].tolist()), batch.examples[row])
            for row in range(batch.valid)
        ]
        predictions += itertools.chain.from_iterable(gather(own))
        moved()
    return predictions


def evaluate_answer(text: str, example: Example) -> Prediction:
    """The evaluation of one answer; an invalid one stays in every denominator as wrong."""
    if example.task == "caption":
        reference = json.dumps(example.caption)
        known, schema = example.caption, example.schema
        reward = caption_reward(text, known, schema) if known else None
        valid = parse_caption(text, schema).fields is not None
        return Prediction(
            *(example.case_id, "caption", text, reference, valid),
            caption_reward=reward,
            group=example.group,
        )
    if example.task == "question":
        return Prediction(
            example.case_id,
            "question",
            text,
            example.answer,
            valid=bool(text.strip()),
            equal=same_answer(text, example.answer),
            group=example.group,
        )
    ranked = ranked_diagnoses(text)
    first = ranked[0] if ranked else None
    return Prediction(
        example.case_id,
        "diagnosis",
        text,
        example.diagnosis,
        valid=bool(ranked),
        rank=first_accepted(text, example.diagnosis),
        first=first,
        safety_critical=first is not None and relation(first, example.diagnosis).safety_critical,
        group=example.group,
    )


def write_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """One JSON object a line."""
    make_folder(path.parent)
    lines = (json.dumps(asdict(p), ensure_ascii=False) for p in predictions)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
