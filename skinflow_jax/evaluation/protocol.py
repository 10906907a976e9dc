"""The protocol: greedy answers to held-out cases, each evaluated by the clinical rules."""

import itertools
from collections.abc import Iterable

import jax
import numpy as np

from skinflow_jax.data.pipeline import Batch
from skinflow_jax.evaluation.answers import evaluate_answer
from skinflow_jax.evaluation.likelihoods import likelihood
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
        log_probs = local_rows(rollout.log_probs)[:, 0]
        own = []
        for row, example in enumerate(batch.examples[: batch.valid]):
            answer = tokens[row][mask[row]].tolist()
            sure = likelihood(answer, log_probs[row][mask[row]].tolist(), tokenizer.decode)
            own.append(evaluate_answer(tokenizer.decode(answer), example, sure))
        predictions += itertools.chain.from_iterable(gather(own))
        moved()
    return predictions
