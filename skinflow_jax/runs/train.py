"""A training run: a config's records, policy, learner and loop put together."""

import functools
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
from rich.console import Console

from skinflow_jax.checkpoints.failure import keep_failure
from skinflow_jax.checkpoints.pixel_budget import PixelBudget, write_pixel_budget
from skinflow_jax.checkpoints.run_state import RunCheckpoints
from skinflow_jax.config import RunConfig, to_dict
from skinflow_jax.data.pipeline import (
    bucket_shapes,
    make_pipeline,
    prompt_inputs,
)
from skinflow_jax.data.records import RecordSet
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.models.dve_conversion import describe_dve
from skinflow_jax.models.trainable import trained_part
from skinflow_jax.parallel import MeshConfig, make_mesh, use_mesh
from skinflow_jax.rl.learner import GrpoLearner
from skinflow_jax.runs.cases import buckets, prepare_records
from skinflow_jax.runs.evaluate import heldout_evaluation
from skinflow_jax.runs.policies import (
    CHECKPOINTS,
    TOKENIZER,
    Policy,
    starting_policy,
)
from skinflow_jax.training.gate_figures import gate_figures
from skinflow_jax.training.loop import Learner, run_loop
from skinflow_jax.training.memory_table import (
    RolloutShapes,
    memory_rows,
    parameter_rows,
    program_table,
    start_table,
)
from skinflow_jax.training.optimizer import learning_rate_schedule, make_optimizer
from skinflow_jax.training.progress import track
from skinflow_jax.training.sinks import RunWriter
from skinflow_jax.training.state import TrainState, abstract_state, create_state
from skinflow_jax.training.supervised import SupervisedLearner


def train(
    config: RunConfig,
    workdir: Path,
    *,
    resume: bool = False,
    records_folder: Path | None = None,
    title: str | None = None,
) -> Policy:
    """Run `config` in `workdir`; returns the trained policy.

    Args:
      config: the run.
      workdir: receives config.json, metrics.jsonl, rollouts.jsonl, tensorboard/, tokenizer/,
        checkpoints/, and eval/<step>/ every `config.loop.evaluate_every` steps.
      resume: go on from the latest checkpoint in `workdir`, if there is one.
      records_folder: where records are built or found; default `workdir/records`.
      title: what the progress bar says.

    Raises:
      InputError: `workdir` holds a run and `resume` is False, or the data or model are bad.
    """
    checkpoints_folder = workdir / CHECKPOINTS
    if checkpoints_folder.exists() and not resume:
        raise InputError(f"{workdir} holds a run already: add --resume or choose another workdir")
    mesh = make_mesh(config.mesh) if jax.device_count() > 1 or config.mesh != MeshConfig() else None
    check_mesh(config, mesh)
    data = config.data
    pixels = PixelBudget(data.min_pixels, data.max_pixels)
    records_folder = records_folder or workdir / "records"
    records = prepare_records(data, data.split, data.count, records_folder)

    policy = starting_policy(config, workdir / TOKENIZER, mesh)
    model_sizes, tokenizer = policy.model.config, policy.tokenizer
    tokenizer.save_pretrained(workdir / TOKENIZER)
    write_pixel_budget(workdir, pixels, model_sizes.vision)
    if jax.process_index() == 0 and model_sizes.vision.dve is not None:
        print(describe_dve(policy.model))
    batches = iter(
        make_pipeline(
            records,
            tokenizer,
            model_sizes,
            tasks=data.tasks,
            batch_size=config.batch_size,
            seed=config.seed,
            buckets=buckets(data),
            targets=config.algorithm == "sft",
            cases_of_task=data.cases_of_task,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
    )
    evaluate = None
    if config.loop.evaluate_every:
        evaluate = heldout_evaluation(config, tokenizer, records_folder, workdir / "eval")
    probe = None
    if model_sizes.vision.dve is not None:

        def probe(state, inputs):
            return gate_figures(state.model, inputs, config.model.compute)

    updates = config.updates
    optimizer = make_optimizer(config.optimizer, config.loop.steps * updates)
    schedule = learning_rate_schedule(config.optimizer, config.loop.steps * updates)
    layout = abstract_state(policy.model, optimizer, mesh)
    if jax.process_index() == 0:
        memory = memory_rows(layout, rollout_shapes(config), mesh)
        Console().print(start_table(parameter_rows(policy.model), memory))
    with use_mesh(mesh), RunCheckpoints(checkpoints_folder) as checkpoints:
        learner = make_learner(config, policy, optimizer, mesh)
        step = checkpoints.latest_step or 0
        if step:
            del policy  # else two models would have to fit
            state, _, step = checkpoints.restore(layout)
            batches = itertools.islice(batches, step, None)
        else:
            state = create_state(policy.model, optimizer, mesh)
            del policy
        facts = {"algorithm": config.algorithm}
        start = step if resume else None
        with RunWriter(workdir, resume_step=start, enabled=jax.process_index() == 0) as writer:
            writer.config(to_dict(config))
            if step < config.loop.steps:
                temporary = compile_batch_sizes(learner, state, config, records, tokenizer)
                if jax.process_index() == 0:
                    Console().print(program_table(temporary))
            state = run_loop(
                learner,
                state,
                batches,
                config.loop,
                writer=writer,
                schedule=lambda step: schedule(step * updates),
                title=title or config.algorithm,
                save=lambda step, state: checkpoints.save(step, state, facts=facts),
                evaluate=evaluate,
                probe=probe,
                keep_failure=lambda step, result: keep_failure(
                    workdir / "failure", step, result.state, result.evidence
                ),
            )
    if records.manifest.skipped:
        print(records.manifest.summary())
    return Policy(state.model, tokenizer, pixels)


def rollout_shapes(config: RunConfig) -> RolloutShapes | None:
    """The largest batch of a GRPO step; None for other algorithms."""
    if config.algorithm != "grpo":
        return None
    return RolloutShapes(
        prompts=config.batch_size,
        group_size=config.rl.group_size,
        prompt_length=max(config.data.prompt_lengths),
        completion_length=config.rl.max_tokens,
        micro_batches=config.micro_batches * config.rl.mini_batches,
        dtype=config.model.dtype,
        reference=config.rl.needs_reference,
    )


def check_mesh(config: RunConfig, mesh) -> None:
    """Raise ConfigError unless the prompts of a micro-batch divide over the devices."""
    if mesh is None:
        return
    parts = config.micro_batches * (config.rl.mini_batches if config.algorithm == "grpo" else 1)
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    if config.batch_size % (parts * shards):
        raise ConfigError(
            f"batch_size={config.batch_size} in {parts} micro-batches does not divide over mesh "
            f"data={mesh.shape['data']} x fsdp={mesh.shape['fsdp']}: make it a multiple of "
            f"{parts * shards}"
        )


def compile_batch_sizes(
    learner: Learner, state: TrainState, config: RunConfig, records: RecordSet, tokenizer
) -> dict[str, int]:
    """Compile for all sizes of batches before the first step; temporary bytes by program."""
    shapes = bucket_shapes(
        records,
        tokenizer,
        state.model.config,
        tasks=config.data.tasks,
        rows=config.batch_size // jax.process_count(),
        buckets=buckets(config.data),
        largest=jax.process_count() > 1,
    )
    return learner.warm_up(state, track(shapes, "compiling", unit="batch sizes"))


def make_learner(config: RunConfig, policy: Policy, optimizer, mesh):
    """The algorithm that the config names, around the policy it starts from."""
    common = {
        "compute": config.model.compute,
        "micro_batches": config.micro_batches,
        "mesh": mesh,
    }
    if config.algorithm == "sft":
        length = config.data.completion_length
        return SupervisedLearner(optimizer, target_length=length, **common)
    vocabulary = policy.model.config.text.vocab_size
    if max(config.rl.stop_ids, default=0) >= vocabulary:
        raise ConfigError(
            f"rl.stop_ids={config.rl.stop_ids}: the model's ids end at {vocabulary - 1}"
        )
    reference = None
    if config.rl.needs_reference:
        # A copy of what training moves: the rest is the policy's own, at every step.
        reference = jax.tree.map(jnp.copy, trained_part(policy.model))
    collate = functools.partial(
        prompt_inputs,
        tokenizer=policy.tokenizer,
        config=policy.model.config,
        buckets=buckets(config.data),
        largest=jax.process_count() > 1,
    )
    return GrpoLearner(
        optimizer,
        policy.tokenizer,
        config.rl,
        seed=config.seed,
        reference=reference,
        collate=collate,
        **common,
    )
