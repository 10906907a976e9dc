"""The protocol: greedy answers to held-out cases, each evaluated by the clinical rules."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import replace

import jax
import numpy as np

from skinflow_jax.clinical import (
    caption_reward,
    diagnosis_reward,
    ontology,
    outcome,
    parse_caption,
    parse_diagnoses,
    ranked_diagnoses,
)
from skinflow_jax.clinical.relations import known_disease
from skinflow_jax.clinical.wording import same_answer
from skinflow_jax.data.pipeline import Batch, Example
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.parallel import local_rows, place_batch
from skinflow_jax.parallel.agreement import agreed, gather
from skinflow_jax.parallel.peers import moved
from skinflow_jax.rl.sampler import sample
from skinflow_jax.rl.token_choice import GREEDY


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
    found = _EVALUATED[example.task](text, example)
    partitions = {
        name: value
        for name, value in example.attributes.items()
        if name.endswith("partition") and isinstance(value, str)
    }
    skin_type = example.attributes.get("fitzpatrick")
    return replace(
        found,
        group=example.group,
        skin_type=skin_type if isinstance(skin_type, int) else None,
        partitions=dict(found.partitions) | partitions,
    )


def _caption(text: str, example: Example) -> Prediction:
    known, schema = example.caption, example.schema
    parsed = parse_caption(text, schema)
    return Prediction(
        *(example.case_id, "caption", text, json.dumps(known), parsed.fields is not None),
        refusal=parsed.code,
        caption_reward=caption_reward(text, known, schema) if known else None,
    )


def _question(text: str, example: Example) -> Prediction:
    return Prediction(
        *(example.case_id, "question", text, example.answer, bool(text.strip())),
        equal=same_answer(text, example.answer),
    )


def _diagnosis(text: str, example: Example) -> Prediction:
    ranked, truth = ranked_diagnoses(text), known_disease(example.diagnosis)
    return Prediction(
        *(example.case_id, "diagnosis", text, example.diagnosis, bool(ranked)),
        refusal=parse_diagnoses(text).code,
        diagnosis_reward=diagnosis_reward(text, example.diagnosis),
        first=ranked[0] if ranked else None,
        partitions={"ontology": truth.partition} if truth is not None and truth.partition else {},
        ontology=ontology().digest,
        **outcome(ranked, example.diagnosis)._asdict(),
    )


_EVALUATED = {"caption": _caption, "question": _question, "diagnosis": _diagnosis}
