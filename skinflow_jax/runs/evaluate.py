"""The evaluation of a policy on held-out cases."""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from skinflow_jax.checkpoints.fingerprint import fingerprint
from skinflow_jax.clinical import ontology
from skinflow_jax.command.standard_output import Console
from skinflow_jax.config import RunConfig, config_of, to_dict
from skinflow_jax.data.buckets import check_buckets
from skinflow_jax.data.chat import prompt_texts
from skinflow_jax.data.exchange import exchanged
from skinflow_jax.data.manifest import hash_of
from skinflow_jax.data.pipeline import evaluation_batches
from skinflow_jax.data.records import RecordSet
from skinflow_jax.errors import ConfigError, RunError, printable
from skinflow_jax.evaluation.floor import Floor
from skinflow_jax.evaluation.journal import FILE as PARTIAL
from skinflow_jax.evaluation.journal import Journal
from skinflow_jax.evaluation.predictions import write_predictions
from skinflow_jax.evaluation.protocol import predict
from skinflow_jax.evaluation.summary import Summary, blind_lines, summarise, tables
from skinflow_jax.evaluation.tables import evaluation_table
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.vlm import abstract_model
from skinflow_jax.parallel import batch_shards, check_divides, process_part, use_mesh
from skinflow_jax.parallel.agreement import check_same
from skinflow_jax.runs.attention import check_attention, evaluate_attention
from skinflow_jax.runs.cases import buckets, heldout_cases
from skinflow_jax.runs.evaluation_findings import evaluation_findings
from skinflow_jax.runs.facts import code_version
from skinflow_jax.runs.gates import evaluate_gates
from skinflow_jax.runs.meshes import evaluation_mesh
from skinflow_jax.runs.neighbours import check_neighbours, find_neighbours, labelled_cases
from skinflow_jax.runs.opening import (
    Policy,
    check_checkpoint,
    is_run,
    open_checkpoint,
    stored_config,
    stored_sizes,
)
from skinflow_jax.runs.resume_rules import plain
from skinflow_jax.runs.robustness import Robust, evaluate_robustness
from skinflow_jax.runs.workdir import EVAL, RECORDS, Workdir
from skinflow_jax.storage.paths import exists, is_bucket, reaching
from skinflow_jax.training.sinks import Findings
from skinflow_jax.training.state import TrainState


def evaluate_policy(
    policy: Policy,
    config: RunConfig,
    records: RecordSet,
    floor: Floor,
    out: Path,
    *,
    exchange: bool = True,
    labelled: RecordSet | None = None,
    resumable: bool = False,
) -> Summary:
    """Evaluate the answers to all held-out records; writes metrics.json and predictions.jsonl.

    Of a dynamic encoder also gates.json.

    `floor`: the best constant answers of the training cases. `exchange`: whether some of the cases
    are asked again with the images of others (`evaluation.exchanged` of them, into
    exchanged.jsonl). `labelled`: training cases for the nearest-neighbour floor; None: without.
    `resumable`: whether the predictions of finished batches are kept in `out` until all are there,
    and taken from there. Batches are rounded up to what divides over the devices.
    """
    mesh, predictions, blind = evaluation_mesh(config), [], []
    most = config.evaluation.exchanged if exchange else 0
    with use_mesh(mesh):
        batches = _heldout_batches(policy, config, records, mesh)
        journal = _journal(policy, config, records, out) if resumable else None
        answers = functools.partial(
            predict,
            policy.model,
            tokenizer=policy.tokenizer,
            max_tokens=config.data.completion_length,
            compute=config.model.compute,
            mesh=mesh,
            lists=config.lists,
            journal=journal,
        )
        for task in config.evaluation.tasks:
            predictions += answers(batches(task=task), part=task)
            if most:
                others = exchanged(records, most, task)
                blind += answers(batches(task=task, images_of=others), part=f"{task}, exchanged")
        near = None
        if labelled is not None:
            batches_of = functools.partial(_heldout_batches, policy, config, mesh=mesh)
            near = find_neighbours(policy, config, records, labelled, batches_of, mesh)
    summary = replace(summarise(predictions, floor, blind, near), lists=config.lists)
    if jax.process_index() == 0:
        with reaching(out, RunError):
            write_predictions(predictions, out / "predictions.jsonl")
            if blind or exists(out / "exchanged.jsonl"):  # one of an earlier evaluation
                write_predictions(blind, out / "exchanged.jsonl")
            told = json.dumps(summary.to_dict(), indent=1, allow_nan=False)
            (out / "metrics.json").write_text(told, encoding="utf-8")
    with use_mesh(mesh):
        evaluate_gates(policy, config, records, batches, predictions, out, mesh)
    if journal is not None:
        journal.remove()
    return summary


def _journal(policy: Policy, config: RunConfig, records: RecordSet, out: Path) -> Journal | None:
    """Of all that an answer depends on; None in a bucket. The mesh is in use."""
    if is_bucket(out):
        return None
    tokenizer = policy.tokenizer
    asked = prompt_texts(lambda m: tokenizer.render_chat(m, add_generation_prompt=True))
    identity = {
        "weights": fingerprint(policy.model).of(),
        "prompts": hash_of([tokenizer.encode(text) for text in asked]),
        "cases": records.digest,
        "config": plain(to_dict(config)),
        "batch": _batch_size(config),
        "ontology": ontology().digest,
        "program": code_version(),
    }
    journal = Journal(out / PARTIAL, identity)
    if journal.said:
        print(printable(journal.said))
    return journal


def _batch_size(config: RunConfig) -> int:
    shards = batch_shards()
    return math.ceil(config.evaluation.batch_size / shards) * shards


def _heldout_batches(policy: Policy, config: RunConfig, records: RecordSet, mesh):
    """`evaluation_batches` but for the task and whose images; `mesh` is in use."""
    process, processes = process_part(mesh)
    return functools.partial(
        evaluation_batches,
        records,
        policy.tokenizer,
        policy.model.config,
        batch_size=_batch_size(config),
        buckets=buckets(config.data, records),
        process_index=process,
        process_count=processes,
    )


def heldout_evaluation(
    config: RunConfig, tokenizer, sizes: VlmConfig, records_folder: Path, out: Path
):
    """What the loop calls now and then: evaluates the held-out cases into `out`/<step>/.

    Raises InputError at once, not at the first evaluation, naming a case that fits no bucket.
    """
    records, floor = heldout_cases(config, records_folder)
    shapes = buckets(config.data, records)
    check_buckets(records, tokenizer, sizes, config.evaluation.tasks, shapes)

    def evaluate(step: int, state: TrainState) -> Findings:
        policy = Policy(state.model, tokenizer)
        summary = evaluate_policy(
            *(policy, config, records, floor, out / str(step)),
            exchange=config.evaluation.exchange_in_training,
        )
        return evaluation_findings(summary, records)

    return evaluate


def stored_evaluation(checkpoint: Path, overrides: Mapping[str, Any]) -> RunConfig:
    """The config that a run was made with, with overrides; ConfigError where it is of no run."""
    stored = stored_config(checkpoint)
    if stored is None:
        raise ConfigError(f"{checkpoint} does not say what to evaluate it on: add --config=FILE")
    return config_of(stored, overrides)


def evaluate(
    config: RunConfig,
    checkpoint: Path,
    out: Path | None = None,
    records: Path | None = None,
    dtype: str | None = None,
    robustness: Robust | None = None,
    attention: int = 0,
    neighbours: int | None = None,
) -> Summary:
    """Evaluate a checkpoint on the held-out split of `config` and print the table.

    Of a run, `out` is by default its `eval/<step>` and `records` its `records`. A Hugging Face
    folder is left as it is: it needs `out`, where the records go too, or raises ConfigError.
    `dtype`: of weights and activations; by default float32 weights, activations as in `config`.
    `robustness`: under which degraded images to evaluate it too. `attention`: in how many of the
    cases to look at where the model looks, which needs room for a second model, of random weights.
    `neighbours`: instead of the config's.
    """
    _check_further(config, robustness, attention)
    if neighbours is not None:
        wanted = replace(config.evaluation, neighbours=neighbours)
        config = replace(config, evaluation=wanted)
    check_neighbours(config)
    if dtype is not None:
        config = replace(config, model=replace(config.model, dtype=dtype))
    check_same("command", {"version": code_version(), "config": to_dict(config)})
    check_checkpoint(checkpoint)
    run = is_run(checkpoint)
    if out is None and not run:
        raise ConfigError(
            f"{checkpoint} is no run, which would have a place for results: add --out"
        )
    records = records or Workdir.of(checkpoint if run else out).local / RECORDS
    heldout, floor = heldout_cases(config, records)
    labelled = labelled_cases(config, records)
    mesh = evaluation_mesh(config)
    if mesh is not None:  # before weights are read
        for line in check_divides(abstract_model(stored_sizes(checkpoint)), mesh):
            print(line)
    policy = open_checkpoint(checkpoint, mesh, dtype=dtype or "float32")
    out = out or checkpoint / EVAL / str(policy.step)
    summary = _evaluated(policy, config, heldout, floor, labelled, out, str(checkpoint))
    _look_further(policy, config, heldout, summary, out, robustness, attention)
    return summary


def evaluate_opened(
    config: RunConfig,
    policy: Policy,
    out: Path | None = None,
    records: Path | None = None,
    robustness: Robust | None = None,
    attention: int = 0,
) -> Summary:
    """The same of a policy in memory: `out` is by default `eval/<step>` of the run that trained it.

    Raises ConfigError where it is of no run and `out` is None.
    """
    _check_further(config, robustness, attention)
    check_neighbours(config)
    check_same("command", {"version": code_version(), "config": to_dict(config)})
    if out is None and policy.workdir is None:
        raise ConfigError("the policy is of no run, which would have a place for results: give out")
    records = records or Workdir.of(policy.workdir or out).local / RECORDS
    heldout, floor = heldout_cases(config, records)
    labelled = labelled_cases(config, records)
    out = out or policy.workdir / EVAL / str(policy.step)
    summary = _evaluated(policy, config, heldout, floor, labelled, out, str(policy.workdir or out))
    _look_further(policy, config, heldout, summary, out, robustness, attention)
    return summary


def _check_further(config: RunConfig, robustness: Robust | None, attention: int) -> None:
    if robustness is not None:
        robustness.check(config)
    check_attention(config, attention)


def _look_further(
    policy: Policy,
    config: RunConfig,
    heldout: RecordSet,
    summary: Summary,
    out: Path,
    robustness: Robust | None,
    attention: int,
) -> None:
    """What is asked for beside the figures."""
    mesh = evaluation_mesh(config)
    if robustness is not None:
        with use_mesh(mesh):
            batches_of = functools.partial(_heldout_batches, policy, config, mesh=mesh)
            evaluate_robustness(policy, config, heldout, batches_of, out, robustness, mesh)
    if attention:
        _looked_at(policy, config, heldout, summary, out, attention)


def _evaluated(
    policy: Policy,
    config: RunConfig,
    heldout: RecordSet,
    floor: Floor,
    labelled: RecordSet | None,
    out: Path,
    title: str,
) -> Summary:
    """`evaluate_policy`, told."""
    summary = evaluate_policy(
        *(policy, config, heldout, floor, out), labelled=labelled, resumable=True
    )
    if config.lists.samples > 1:
        title += f": {config.lists}"
    Console().print(*tables(summary, title=printable(title)))
    for line in blind_lines(summary):
        print(printable(line))
    print(printable(f"written: {out}/ (metrics.json, predictions.jsonl)"))
    return summary


def _looked_at(
    policy: Policy, config: RunConfig, heldout: RecordSet, summary: Summary, out: Path, cases: int
) -> None:
    """`evaluate_attention`, told."""
    mesh = evaluation_mesh(config)
    with use_mesh(mesh):
        batches = _heldout_batches(policy, config, heldout, mesh)
        seen = evaluate_attention(
            *(policy, config, heldout, batches, summary.diagnoses, out), cases=cases, mesh=mesh
        )
    title = f"where it looks, in {len(seen.cases):,} cases (no explanation of the answers)"
    Console().print(evaluation_table(seen.table(), title=title))
    for line in seen.lines():
        print(printable(line))
    print(printable(f"written: {out}/ (attention.json, attention.npz)"))
