"""The GRPO step: sample a group for each prompt, score the texts, update the policy.

Device work that needs no rewards (the old policy's and the reference's log-probabilities, where a
run needs them and draws no refills) runs while the host turns tokens into text and scores it; the
rows for the log are made while the update runs.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from skinflow_jax.data.pipeline import Batch, Example
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.flops import peak_flops, step_flops
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.models.trainable import joined
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.parallel import (
    local_rows,
    place_batch,
    place_module,
    process_part,
)
from skinflow_jax.parallel.agreement import gather, together
from skinflow_jax.parallel.programs import Compiler
from skinflow_jax.rl.completions import Completion
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.learning_signal import LearningSignal
from skinflow_jax.rl.process_state import RewardProcess
from skinflow_jax.rl.refusals import as_metrics, refusals
from skinflow_jax.rl.reward_files import load_rewards
from skinflow_jax.rl.reward_forms import check_columns
from skinflow_jax.rl.rewards import OVERLONG, overlong_penalty, score
from skinflow_jax.rl.rollouts import ScoredRollout, with_refills
from skinflow_jax.rl.sampler import (
    CHUNK,
    Rollout,
    begin_decoding,
    decode,
    decode_chunk,
    prefill_prompts,
    rollout_weights,
)
from skinflow_jax.rl.update import (
    GroupScores,
    PolicyBatch,
    fixed_log_probs,
    mini_batch,
    policy_update,
    score_rollout,
)
from skinflow_jax.training.compilations import compilations
from skinflow_jax.training.loop import StepResult, Stopped
from skinflow_jax.training.state import TrainState


class GrpoLearner:
    """The `grpo` algorithm for the shared loop.

    Args:
      optimizer: of optax.
      tokenizer: turns completions into text.
      config: rollouts, rewards and loss.
      seed: of the sampler.
      compute: activation type and rematerialisation.
      reference: the model that a KL is measured to; with `config.needs_reference` and only then.
        What training does not move may be left out of it (see `models.trainable`).
      micro_batches: parts of an optimizer step's prompts, taken one after another.
      mesh: devices.
      collate: examples to inputs, needed by dynamic sampling.

    Attributes:
      stop: asked between the phases of a step until its update begins, and between the chunks of
        decoding, by all processes; when true the step raises `Stopped`: begun again, it draws the
        same.
    """

    def __init__(
        self,
        optimizer,
        tokenizer,
        config: GrpoConfig,
        *,
        seed: int,
        compute: ComputeConfig,
        reference: Vlm | None = None,
        micro_batches: int = 1,
        mesh=None,
        collate: Callable[[list[Example]], ModelInputs] | None = None,
    ):
        if config.needs_reference != (reference is not None):
            raise ConfigError("rl.loss.kl_coef > 0 or rl.log_kl, and a reference go together")
        if config.max_refills and collate is None:
            raise ConfigError(f"rl.max_refills={config.max_refills} needs a way to make batches")
        self.stop: Callable[[], bool] = lambda: False
        self._tokenizer, self._config, self._mesh = tokenizer, config, mesh
        self._key, self._collate = jax.random.key(seed), collate
        self._compute, self._reference = compute, place_module(reference, mesh)
        self._process = RewardProcess()
        self._functions = load_rewards(config.rewards, self._process, config.reward_options)
        self._names = (*self._functions, *([OVERLONG] if config.overlong_cache else []))
        self._signal = LearningSignal(tuple(self._functions), config.weights)
        self._lengths = {"group_size": config.group_size, "max_tokens": config.max_tokens}
        self._score = functools.partial(score_rollout, config=config, names=self._names)
        self._log_probs = functools.partial(
            fixed_log_probs,
            temperature=config.temperature,
            compute=compute,
            micro_batches=micro_batches * config.mini_batches,
        )
        self._update = functools.partial(
            policy_update,
            optimizer=optimizer,
            config=config,
            compute=compute,
            micro_batches=micro_batches,
        )

    def check_examples(self, examples: Sequence[Example]) -> None:
        """Raise ConfigError where a reward takes a column that none of the examples has."""
        check_columns(self._functions, examples)

    def warm_up(self, state: TrainState, shapes: Iterable[ModelInputs]) -> dict[str, int]:
        """Compile every program of a step for prompts of these shapes, so that no step has to.

        Returns the temporary bytes on a device of the largest of each, see `Compiler`.
        """
        config, compiled = self._config, Compiler()
        weights = rollout_weights(state.model, self._compute)
        key = jax.random.fold_in(self._key, 0)
        for shape in shapes:
            inputs = place_batch(shape, self._mesh)
            prompts = len(shape.input_ids)
            rows = place_batch(np.arange(prompts), self._mesh)
            prefix = compiled("prefill", prefill_prompts, weights, inputs, self._compute)
            rollout = self._compile_decoding(compiled, weights, prefix, key, rows)
            rewards = np.zeros((prompts, config.group_size, len(self._names)), np.float32)
            rewards = place_batch(rewards, self._mesh)
            scores = compiled("advantages", self._score, rewards, rollout.terminated)
            log_probs = functools.partial(compiled, "log-probabilities", self._log_probs)
            fixed = self._fixed(state, inputs, rollout, log_probs)
            batch = PolicyBatch(inputs, rollout, scores.advantages, *fixed)
            compiled("update", self._update, state, batch)
        return compiled.temporary

    def _compile_decoding(self, compiled: Compiler, weights: Vlm, prefix, key, rows) -> Rollout:
        begin = functools.partial(begin_decoding, **self._lengths)
        chunk = functools.partial(decode_chunk, compactions=self._config.compactions)
        decoding = compiled("decoding", begin, weights, prefix, key, rows)
        sampling, until = self._config.sampling, jnp.int32(0)
        decoding, _ = compiled("decoding", chunk, weights, decoding, sampling, until)
        return decoding.out

    def step(self, state: TrainState, batches: Iterator[Batch], step: int) -> StepResult:
        """Sample, score and update on the prompts of the next batch."""
        config, compiled, began = self._config, compilations(), time.perf_counter()
        clock, self._process.step = PhaseClock(), step
        weights = rollout_weights(state.model, self._compute)
        key = jax.random.fold_in(self._key, step)
        inputs, rollout, examples = self._sampled(weights, next(batches), key, clock)
        fixed = None
        if not config.max_refills:
            fixed = self._fixed(state, inputs, rollout, self._log_probs)
        scored, metrics = self._scored(inputs, rollout, examples, clock), {}
        # FLOPs and tokens of each draw: the draws themselves would stay on the devices.
        sampled = [self._sampling(state.model, scored)]
        if config.max_refills:

            def draw(refill):
                # ruff sees the `del` below, and not that draws are over by then.
                fresh = self._sampled(weights, next(batches), key, clock, refill)  # noqa: F821
                fresh = self._scored(*fresh, clock)
                sampled.append(self._sampling(state.model, fresh))
                return fresh

            scored, metrics = with_refills(
                scored, draw, self._group_scores, config.max_refills, self._collate, self._mesh
            )
            fixed = self._fixed(state, scored.inputs, scored.rollout, self._log_probs)
        del weights
        self._check_stop()
        self._signal.check(scored.rewards, step + 1)
        with clock("update"):
            scores = self._group_scores(scored)
            batch = PolicyBatch(scored.inputs, scored.rollout, scores.advantages, *fixed)
            state, figures = self._update(state, batch)
            rollouts = self._rollout_rows(scored, local_rows(scores.advantages))
            refused = refusals(scored.texts, scored.examples)
            jax.block_until_ready((state.step, figures))
        self._signal.warn_where_equal(float(scores.metrics["frac_reward_zero_std"]), step + 1)
        taken = int(figures["optimizer_steps"])
        if taken < config.updates:
            batch = mini_batch(batch, taken % config.mini_batches, of=config.mini_batches)
        metrics = scores.metrics | figures | metrics | clock.metrics()
        metrics |= self._speed(state.model, scored, sampled, began) | as_metrics(gather(refused))
        return StepResult(
            state,
            metrics | {"compilations": compilations() - compiled},
            rollouts=rollouts,
            images=_same_size_images(scored.examples),
            inputs=scored.inputs,
            evidence=batch,
        )

    def _sampled(
        self, weights: Vlm, batch: Batch, key: jax.Array, clock, refill: int = 0
    ) -> tuple[ModelInputs, Rollout, list[Example]]:
        config, prompts = self._config, len(batch.examples)
        inputs = place_batch(batch.inputs, self._mesh)
        # Every prompt of the step has a number of its own, over all processes and refills.
        part, parts = process_part(self._mesh)
        first = (refill * parts + part) * prompts
        rows = place_batch(np.arange(first, first + prompts), self._mesh)
        with clock("vision_prefill"):
            prefix = jax.block_until_ready(prefill_prompts(weights, inputs, self._compute))
        with clock("decode"):
            rollout = decode(
                weights,
                prefix,
                key,
                rows,
                config.sampling,
                **self._lengths,
                compactions=config.compactions,
                chunk=CHUNK,
                between=self._check_stop,
            )
            jax.block_until_ready(rollout)
        self._check_stop()
        return inputs, rollout, batch.examples

    def _check_stop(self) -> None:
        if self.stop():
            raise Stopped

    def _scored(self, inputs, rollout: Rollout, examples, clock) -> ScoredRollout:
        config = self._config
        with clock("reward"):
            tokens, mask = local_rows(rollout.tokens), local_rows(rollout.mask)
            texts = completion_texts(tokens, mask, self._tokenizer)
            rewards = self._rewards(texts, examples)
            if config.overlong_cache:
                penalty = overlong_penalty(
                    mask.sum(axis=-1), max_tokens=config.max_tokens, cache=config.overlong_cache
                )
                rewards = np.concatenate([rewards, penalty[..., None]], axis=-1, dtype=np.float32)
        return ScoredRollout(examples, inputs, rollout, texts, rewards)

    def _rewards(self, texts, examples) -> np.ndarray:
        """`score`; what raises in one process ends the step in all: the others would wait."""
        return together(
            functools.partial(
                score,
                texts,
                examples,
                self._functions,
                timeout=self._config.reward_timeout,
                process=self._process,
            )
        )

    def _fixed(self, state: TrainState, inputs, rollout, log_probs: Callable):
        """(old, reference) by `log_probs` of a model; None where the update needs none."""
        old = reference = None
        if self._config.updates > 1:
            old = log_probs(state.model, inputs, rollout)
        if self._reference is not None:
            reference = log_probs(joined(self._reference, state.model), inputs, rollout)
        return old, reference

    def _group_scores(self, scored: ScoredRollout) -> GroupScores:
        return self._score(place_batch(scored.rewards, self._mesh), scored.rollout.terminated)

    def _rollout_rows(self, scored: ScoredRollout, advantages: np.ndarray) -> list[dict[str, Any]]:
        """One object a completion; a group's number is that of its prompt over all processes."""
        part, _ = process_part(self._mesh)
        first = part * len(scored.examples)
        columns = (scored.examples, scored.texts, scored.rewards, advantages)
        return [
            {
                "case_id": example.case_id,
                "task": example.task,
                "group": group,
                "reference": example.reference,
                "completion": text,
                "tokens": len(text.ids),
                "rewards": {
                    name: None if np.isnan(value) else float(value)
                    for name, value in zip(self._names, values, strict=True)
                },
                "reward": _weighted(values, self._config.weights),
                "advantage": float(advantage),
            }
            for group, (example, *completions) in enumerate(zip(*columns, strict=True), first)
            for text, values, advantage in zip(*completions, strict=True)
        ]

    def _sampling(self, model: Vlm, scored: ScoredRollout) -> tuple[float, int]:
        """(FLOPs, tokens) of this process's share of a draw."""
        tokens = int(local_rows(scored.rollout.mask).sum())
        return _flops(model, scored, iterations=0), tokens

    def _speed(
        self, model: Vlm, learned: ScoredRollout, sampled: list[tuple[float, int]], began: float
    ) -> dict[str, float]:
        seconds = time.perf_counter() - began
        learning = _flops(
            model,
            learned,
            rollouts=0,
            iterations=self._config.num_iterations,
            references=(self._config.updates > 1) + (self._reference is not None),
        )
        own = [sum(column) for column in zip(*sampled, strict=True)]
        flops, tokens = np.sum(gather((own[0] + learning, own[1])), axis=0)
        rate = flops / seconds / jax.device_count()
        found = {"tokens_per_second": tokens / seconds, "tflops_per_device": rate / 1e12}
        peak = peak_flops(jax.devices()[0].device_kind)
        return found if peak is None else found | {"mfu": rate / peak}


def _flops(model: Vlm, scored: ScoredRollout, **passes) -> float:
    prompts = (scored.inputs.patch_mask, scored.inputs.token_mask)
    prompts, mask = jax.tree.map(local_rows, (prompts, scored.rollout.mask))
    return step_flops(model.config, prompts, mask, **passes)


class PhaseClock:
    """Seconds by phase of a step; a phase entered again adds up."""

    def __init__(self):
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, phase: str):
        """Time what is done within."""
        began = time.perf_counter()
        yield
        self._seconds[phase] = self._seconds.get(phase, 0.0) + time.perf_counter() - began

    def metrics(self) -> dict[str, float]:
        """`time/<phase>`."""
        return {f"time/{phase}": seconds for phase, seconds in self._seconds.items()}


def completion_texts(tokens: np.ndarray, mask: np.ndarray, tokenizer) -> list[list[Completion]]:
    """Completions `[P, G, T]` as text, `[P][G]`, without special tokens."""
    return [
        [_completion(row[seen].tolist(), tokenizer) for row, seen in zip(*group, strict=True)]
        for group in zip(tokens, mask, strict=True)
    ]


def _completion(ids: list[int], tokenizer) -> Completion:
    return Completion(tokenizer.decode(ids), ids)


def _weighted(values: np.ndarray, weights: Sequence[float]) -> float | None:
    """The weighted sum of a completion's rewards; None where it has none."""
    scored = ~np.isnan(values)
    return float(np.dot(values[scored], np.array(weights)[scored])) if scored.any() else None


def _same_size_images(examples: Sequence[Example], most: int = 4) -> np.ndarray | None:
    """The first image of the first prompts where it has the first one's size, for the log."""
    images = [e.image for e in examples if e.image.shape == examples[0].image.shape]
    return np.stack(images[:most]) if images else None
