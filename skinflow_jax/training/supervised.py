"""Supervised fine-tuning: the warm-up that teaches both output formats."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from skinflow_jax.data.pipeline import Batch
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.log_probs import token_log_probs
from skinflow_jax.models.vlm import DEFAULT_COMPUTE, ComputeConfig, completion_states, prefill
from skinflow_jax.parallel import place_batch
from skinflow_jax.parallel.programs import Compiler
from skinflow_jax.training.gradients import accumulated_gradients
from skinflow_jax.training.loop import StepResult
from skinflow_jax.training.state import TrainState, apply_gradients, is_finite


def supervised_sums(model, batch, compute: ComputeConfig = DEFAULT_COMPUTE):
    """Summed cross-entropy of the target tokens, and the sums of the metrics.

    `batch` = (inputs, completion ids `[B, T]`, completion mask `[B, T]`): the same prefix and
    completion passes as in RL, with groups of one.
    """
    inputs, ids, mask = batch
    states = completion_states(model, prefill(model, inputs, compute), ids[:, None], compute)
    log_probs, entropy = token_log_probs(model, states, ids[:, None])
    mask = mask[:, None]
    loss = -jnp.sum(jnp.where(mask, log_probs, 0.0))
    return loss, {
        "loss": loss,
        "entropy": jnp.sum(jnp.where(mask, entropy, 0.0)),
        "tokens": jnp.sum(mask),
    }


@functools.partial(
    jax.jit, static_argnames=("optimizer", "compute", "micro_batches"), donate_argnums=0
)
def supervised_update(
    state: TrainState, batch, *, optimizer, compute: ComputeConfig, micro_batches: int
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One optimizer step on the mean over all target tokens of the batch."""
    gradients, sums = accumulated_gradients(
        lambda model, part: supervised_sums(model, part, compute),
        state.model,
        batch,
        micro_batches,
        merge=functools.partial(jax.tree.map, jnp.add),
    )
    tokens = sums.pop("tokens")
    gradients = jax.tree.map(lambda g: g / tokens, gradients)
    metrics = {name: value / tokens for name, value in sums.items()}
    metrics |= {"num_tokens": tokens, "grad_norm": optax.global_norm(gradients)}
    state = apply_gradients(state, gradients, optimizer, where=is_finite(metrics))
    return dataclasses.replace(state, step=state.step + 1), metrics


class SupervisedLearner:
    """The `sft` algorithm for the shared loop."""

    def __init__(
        self,
        optimizer,
        *,
        target_length: int,
        compute: ComputeConfig,
        micro_batches: int = 1,
        mesh=None,
    ):
        """`target_length`: tokens that targets are padded to."""
        self._mesh, self._target_length = mesh, target_length
        self._update = functools.partial(
            supervised_update, optimizer=optimizer, compute=compute, micro_batches=micro_batches
        )

    def warm_up(self, state: TrainState, shapes: Iterable[ModelInputs]) -> dict[str, int]:
        """Compile the update for prompts of these shapes; its temporary bytes on a device."""
        compiled = Compiler()
        for shape in shapes:
            targets = np.zeros((len(shape.input_ids), self._target_length), np.int32)
            batch = place_batch((shape, targets, targets > 0), self._mesh)
            compiled("update", self._update, state, batch)
        return compiled.temporary

    def step(self, state: TrainState, batches: Iterator[Batch], step: int) -> StepResult:
        """One step on the next batch, which has targets."""
        batch = next(batches)
        placed = place_batch(
            (batch.inputs, batch.completion_ids, batch.completion_mask), self._mesh
        )
        state, metrics = self._update(state, placed)
        return StepResult(state, metrics, inputs=placed[0], evidence=placed)
