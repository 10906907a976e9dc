"""The protocol: answers to held-out cases, each evaluated by the clinical rules.

They are greedy; diagnoses may be sampled lists instead, merged by votes (`voting`).
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np

from skinflow_jax.data.pipeline import Batch
from skinflow_jax.evaluation.answers import Likelihood, evaluate_answer
from skinflow_jax.evaluation.journal import Journal
from skinflow_jax.evaluation.likelihoods import likelihood
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.voting import Lists, merged_answer
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.parallel import local_rows, place_batch
from skinflow_jax.parallel.agreement import agreed, gather
from skinflow_jax.parallel.peers import moved
from skinflow_jax.rl.sampler import sample
from skinflow_jax.rl.token_choice import GREEDY, make_sampling

_GREEDY_LIST = Lists()


def predict(
    model: Vlm,
    batches: Iterable[Batch],
    tokenizer,
    *,
    max_tokens: int,
    compute: ComputeConfig,
    mesh=None,
    lists: Lists = _GREEDY_LIST,
    journal: Journal | None = None,
    part: str = "",
) -> list[Prediction]:
    """The answer to every case of `batches` (see `evaluation_batches`), evaluated.

    `lists`: how diagnoses are decoded; all else is greedy. Which lists are drawn of a case depends
    on the seed and its id, not on the batch around it or the devices, but where two tokens are so
    close that the round-off of another program decides. `journal`: where the predictions of a batch
    are kept, under the name `part`; those it has are not asked for again. Of several processes each
    evaluates its own rows of a batch; all get the predictions of all.
    """
    predictions = []
    for number, batch in enumerate(agreed(iter(batches))):
        kept = journal.batch(part, number) if journal else None
        if kept is not None:
            predictions += kept
            continue
        decoded = lists if batch.examples[0].task == "diagnosis" else _GREEDY_LIST
        rollout = sample(
            model,
            place_batch(batch.inputs, mesh),
            jax.random.key(decoded.seed),
            place_batch(np.array([_number(e.case_id) for e in batch.examples], np.int32), mesh),
            make_sampling(decoded.temperature) if decoded.samples > 1 else GREEDY,
            group_size=decoded.samples,
            max_tokens=max_tokens,
            compute=compute,
        )
        tokens, mask = local_rows(rollout.tokens), local_rows(rollout.mask)
        log_probs, own = local_rows(rollout.log_probs), []
        for row, example in enumerate(batch.examples[: batch.valid]):
            each = [x[mask[row, g]].tolist() for g, x in enumerate(tokens[row])]
            text, sure = _answer(each, log_probs[row, 0][mask[row, 0]].tolist(), tokenizer.decode)
            own.append(evaluate_answer(text, example, sure))
        found = list(itertools.chain.from_iterable(gather(own)))
        if journal:
            journal.finished(part, number, found)
        predictions += found
        moved()
    return predictions


def _number(case_id: str) -> int:
    """The case's own, for the sampler: 31 bits of a digest."""
    digest = hashlib.sha256(case_id.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:4]) >> 1


def _answer(
    completions: Sequence[list[int]], log_probs: list[float], decode: Callable[[list[int]], str]
) -> tuple[str, Likelihood | None]:
    """The text of a completion, or the merged list of several; `log_probs` are of the first."""
    if len(completions) == 1:
        return decode(completions[0]), likelihood(completions[0], log_probs, decode)
    text, share = merged_answer([decode(tokens) for tokens in completions])
    return text, Likelihood(None, None, share)
