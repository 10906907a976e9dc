"""Where a model looks: attention over the image tokens of the prompt's last token, and of the
tokens of the first diagnosis that it answers.

An explanation of the answer it is not: see docs/attention.md.
"""

import bisect
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from skinflow_jax.data.pipeline import Batch, Example
from skinflow_jax.evaluation.attention_figures import figures_of
from skinflow_jax.evaluation.image_maps import to_tokens
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.models.attention_rows import attention_rows, with_completions
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.parallel import local_rows, place_batch
from skinflow_jax.parallel.agreement import agreed, gather
from skinflow_jax.parallel.peers import moved

QUERIES = ("prompt", "diagnosis")
"""The last token of the prompt; the mean over the tokens of the first diagnosis."""
KINDS = ("mean", "rollout")
"""The mean over layers and heads; attention rollout."""


@dataclass(frozen=True)
class Answer:
    """The tokens of an answer up to the end of its first diagnosis, which begins at `start`."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class CaseAttention:
    """Where the model looked in one case. T: the tokens of its images, row by row, in their order.

    Attributes:
      case_id, group: of the case; without a group it is its own.
      sizes: height and width of each image in pixels, as the model was shown it.
      grids: rows and columns of the tokens of each.
      covered: of each token the share inside the lesion's mask, NaN where no mask is known.
      maps: by query and kind, with a mean of 1: 2 is twice as much as an even map has. NaN where
        there is no such query: no well-formed answer, no diagnosis.
      figures: `FIGURES` by query and kind.
      layers: the same by layer, key head (the mean over its query heads) and query.
    """

    case_id: str
    group: str
    sizes: tuple[tuple[int, int], ...]
    grids: tuple[tuple[int, int], ...]
    covered: Float[np.ndarray, " T"]
    maps: Float[np.ndarray, "Q kinds T"]
    figures: Float[np.ndarray, "Q kinds F"]
    layers: Float[np.ndarray, "layers K Q F"]


def first_diagnoses(predictions: Iterable[Prediction], tokenizer) -> dict[str, Answer]:
    """By case, of those whose answer is well-formed, its tokens up to its first diagnosis.

    As the tokenizer encodes the text: a model may have written the same text by other tokens.
    """
    found = {}
    for prediction in predictions:
        if prediction.task == "diagnosis" and prediction.first:
            answer = _first_diagnosis(prediction.text, prediction.first, tokenizer)
            if answer is not None:
                found[prediction.case_id] = answer
    return found


def _first_diagnosis(text: str, name: str, tokenizer) -> Answer | None:
    ids = tokenizer.encode(text)
    written = tokenizer.decode(ids, skip_special=False)
    begin = written.find(name, written.find("[") + 1)
    if begin < 0:  # spelt with escapes
        return None

    def characters(count: int) -> int:
        return len(tokenizer.decode(ids[:count], skip_special=False))

    counts = range(len(ids) + 1)
    start = bisect.bisect_right(counts, begin, key=characters) - 1
    stop = bisect.bisect_left(counts, begin + len(name), key=characters)
    # Bytes of a character that is split between tokens are decoded to more characters than one.
    return Answer(tuple(ids[:stop]), start) if start < stop else None


def attention_of(
    model: Vlm,
    batches: Iterable[Batch],
    answers: Mapping[str, Answer],
    *,
    compute: ComputeConfig,
    mesh=None,
) -> list[CaseAttention]:
    """Where `model` looks in every case of `batches` (see `evaluation_batches`).

    Of several processes each looks at its own rows of a batch; all get the cases of all.
    """
    # One shape of all batches, so that nothing is compiled twice.
    tokens = max((len(answer.ids) for answer in answers.values()), default=1)
    found = []
    for batch in agreed(iter(batches)):
        completions, mask, queries = _queries(batch, answers, tokens)
        placed = place_batch((batch.inputs, completions, mask, queries), mesh)
        rows, rolled = map(local_rows, _rows(model, *placed, compute=compute))
        own = [
            _case(batch, row, rows[row], rolled[row], model.config) for row in range(batch.valid)
        ]
        found += itertools.chain.from_iterable(gather(own))
        moved()
    return found


@functools.partial(jax.jit, static_argnames="compute")
def _rows(model, inputs, completions, mask, queries, *, compute):
    return attention_rows(model, with_completions(inputs, completions, mask), queries, compute)


def _queries(batch: Batch, answers: Mapping[str, Answer], tokens: int):
    """Completions `[B, T]`, their mask, and the queries `[B, Q, S]` of prompts and completions."""
    prompt = batch.inputs.token_mask
    rows, length = prompt.shape
    completions, mask = np.zeros((rows, tokens), np.int32), np.zeros((rows, tokens), bool)
    queries = np.zeros((rows, len(QUERIES), length + tokens), np.float32)
    queries[np.arange(rows), 0, length - 1 - np.argmax(prompt[:, ::-1], axis=1)] = 1
    for row, example in enumerate(batch.examples):
        answer = answers.get(example.case_id)
        if answer is None:
            continue
        stop = len(answer.ids)
        completions[row, :stop], mask[row, :stop] = answer.ids, True
        queries[row, 1, length + answer.start : length + stop] = 1 / (stop - answer.start)
    return completions, mask, queries


def _case(batch: Batch, row: int, rows, rolled, config: VlmConfig) -> CaseAttention:
    """`rows` `[layers, K, Q, S]` and `rolled` `[Q, S]` of a row of the batch."""
    example, vision = batch.examples[row], config.vision
    slots = np.flatnonzero(batch.inputs.image_slots[row] >= 0)
    rows, rolled = rows[..., slots], rolled[:, slots]
    side = vision.patch_size * vision.merge_size
    sizes = tuple(image.shape[:2] for image in example.images)
    grids = tuple((height // side, width // side) for height, width in sizes)
    covered = _covered(example, grids)
    maps = np.stack([rows.mean(axis=(0, 1)), rolled], axis=1)
    total = maps.sum(axis=-1, keepdims=True)
    return CaseAttention(
        example.case_id,
        example.group or example.case_id,
        sizes,
        grids,
        covered,
        maps * (len(slots) / np.where(total > 0, total, np.nan)),
        figures_of(maps, covered),
        figures_of(rows, covered),
    )


def _covered(example: Example, grids: Sequence[tuple[int, int]]) -> Float[np.ndarray, " T"]:
    covered = np.full(sum(rows * columns for rows, columns in grids), np.nan)
    if example.mask is not None:
        of_first = to_tokens(example.mask.astype(float), grids[0]).reshape(-1)
        covered[: len(of_first)] = of_first
    return covered
