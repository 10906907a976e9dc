"""Where chosen tokens of a sequence look: rows of attention by layer, and attention rollout.

Memory, of a 7B model and one image of 1,024 tokens in a sequence of S = 1,280: all probabilities
would be 28 layers x 28 heads x S^2 x 4 bytes = 5.1 GB. Here one layer is at hand at a time, and of
its scores a chunk of queries within `SCORES_BUDGET` (64 MiB, and as much again for the softmax);
the rollout is one S x S matrix, 6.6 MB, twice; what is kept, the rows of Q = 2 queries by layer and
key head, is 28 x 4 x 2 x S x 4 bytes = 1.1 MB. So 500 images take no more device memory than one
batch: by the compiler's count 1,175 MiB beside the weights for this image in float32, as against
1,157 MiB, and 158 MiB of keys and values, for its prefill.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from skinflow_jax.models.attention import probabilities, query_chunks
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.vlm import (
    DEFAULT_COMPUTE,
    ComputeConfig,
    Vlm,
    embed_prompt,
    visible_prompt,
)
from skinflow_jax.parallel import constrain


def with_completions(
    inputs: ModelInputs, completions: Int[Array, "B T"], mask: Bool[Array, "B T"]
) -> ModelInputs:
    """Prompts followed by a completion each, padded on its right, as one sequence `[B, L + T]`.

    Positions count on from the prompt in all three axes, as in decoding; padding between the two
    is seen by no token.
    """
    steps = inputs.next_position[:, None] + jnp.arange(completions.shape[1])
    extended = {
        "input_ids": jnp.concatenate([inputs.input_ids, completions], axis=1),
        "token_mask": jnp.concatenate([inputs.token_mask, mask], axis=1),
        "positions": jnp.concatenate(
            [inputs.positions, jnp.broadcast_to(steps[:, None], (len(steps), 3, steps.shape[1]))],
            axis=2,
        ),
        "next_position": inputs.next_position + mask.sum(axis=1),
        "image_slots": jnp.pad(
            inputs.image_slots, ((0, 0), (0, completions.shape[1])), constant_values=-1
        ),
    }
    return ModelInputs(**(vars(inputs) | extended))


@functools.partial(jax.jit, static_argnames="compute")
def attention_rows(
    model: Vlm,
    inputs: ModelInputs,
    queries: Float[Array, "B Q S"],
    compute: ComputeConfig = DEFAULT_COMPUTE,
) -> tuple[Float[Array, "B layers K Q S"], Float[Array, "B Q S"]]:
    """Attention of Q queries a sequence over its tokens, and their attention rollout; float32.

    A query is a weighted mean of positions: 1 at one of them, or 1/n at n. The first result is the
    mean over the query heads of each key head; its rows sum to 1, or to 0 where a query is 0.

    Rollout (Abnar & Zuidema, ACL 2020): the product over layers of (A + I) / 2, where A is the mean
    over all heads (their choice; with grouped queries each query head counts once) and I stands for
    the residual stream. Of weights that do not look at what the values hold: where attention goes
    is not what decides the answer.
    """
    visible = visible_prompt(model, inputs)
    x = embed_prompt(model, inputs, compute)
    batch, length = inputs.input_ids.shape
    eye = jnp.broadcast_to(jnp.eye(length), (batch, length, length))
    rolled = constrain(eye, "batch", None, None)

    def step(carry, block):
        x, rolled = carry
        rows, rolled = _layer_rows(block, x, visible, queries, rolled)
        return (block(x, visible)[0], rolled), rows

    (_, rolled), rows = jax.lax.scan(step, (x, rolled), model.decoder.layers)
    rows = constrain(jnp.moveaxis(rows, 0, 1), "batch", None, None, None, None)
    return rows, constrain(queries @ rolled, "batch", None, None)


def _layer_rows(block, x, visible, queries, rolled):
    """Rows `[B, K, Q, S]` of one layer, and `rolled` `[B, S, S]` after it."""
    q, k, _ = block.queries_keys_values(x, visible.rotation)

    def of_chunk(chunk):
        q, mask, queries, own = chunk
        # Grouped queries: [B, K, 1, R, chunk, S], of which the R query heads are averaged.
        by_key_head = probabilities(q, k, mask)[:, :, 0].mean(axis=2)
        rows = jnp.einsum("bcq,bkcs->bkqs", queries, by_key_head)
        return rows, (by_key_head.mean(axis=1) @ rolled + own) / 2

    per_query = (q, visible.own_mask, queries.swapaxes(1, 2), rolled)
    rows, chunks = jax.lax.map(of_chunk, query_chunks(per_query, k.shape[-2]))
    rolled = jnp.moveaxis(chunks, 0, 1).reshape(len(rolled), -1, rolled.shape[-1])
    return rows.sum(axis=0), rolled[:, : rolled.shape[-1]]
