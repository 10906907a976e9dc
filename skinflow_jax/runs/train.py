"""A training run: a config's records, policy, learner and loop put together."""

import contextlib
import functools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax

from skinflow_jax.checkpoints.failure import keep_failure
from skinflow_jax.checkpoints.hf_folder import read_files
from skinflow_jax.checkpoints.run_state import RunCheckpoints
from skinflow_jax.checkpoints.storage_errors import cause
from skinflow_jax.command.standard_output import Console, output_error
from skinflow_jax.config import RunConfig, to_dict
from skinflow_jax.data.buckets import Buckets, Needs, bucket_shapes
from skinflow_jax.data.checks import report_dropped
from skinflow_jax.data.pipeline import Batches, example_of, make_pipeline, prompt_inputs
from skinflow_jax.data.records import RecordSet
from skinflow_jax.errors import ConfigError, InputError, RunError, printable
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.dve_conversion import describe_dve
from skinflow_jax.models.vlm import Vlm
from skinflow_jax.parallel import (
    anywhere,
    check_divides,
    process_part,
    use_mesh,
)
from skinflow_jax.parallel.agreement import check_same
from skinflow_jax.rl.learner import GrpoLearner
from skinflow_jax.runs.cases import buckets, prepare_records, print_floor, use_ontology
from skinflow_jax.runs.evaluate import heldout_evaluation
from skinflow_jax.runs.facts import RunFacts, code_version
from skinflow_jax.runs.meshes import training_mesh
from skinflow_jax.runs.opening import Policy
from skinflow_jax.runs.start import (
    Start,
    Stored,
    check_stored,
    find_stored,
    fresh_start,
    pixel_budget,
    resumed_start,
)
from skinflow_jax.runs.workdir import EVAL, FAILURE, RECORDS, SOURCE, Workdir
from skinflow_jax.storage.paths import exists, reaching
from skinflow_jax.tokenizers import Tokenizer
from skinflow_jax.training.gate_figures import gate_findings
from skinflow_jax.training.loop import Learner, StepResult, run_loop
from skinflow_jax.training.memory_table import (
    RolloutShapes,
    memory_rows,
    parameter_rows,
    program_table,
    start_table,
)
from skinflow_jax.training.optimizer import (
    applied_updates,
    learning_rate_schedule,
    make_optimizer,
)
from skinflow_jax.training.progress import track
from skinflow_jax.training.sinks import RunWriter, check_lines, set_aside
from skinflow_jax.training.state import TrainState, abstract_state, create_state
from skinflow_jax.training.stop_signals import GRACE, StopSignals
from skinflow_jax.training.supervised import SupervisedLearner

DROPPED = "left_out.jsonl"


def train(
    config: RunConfig,
    workdir: Path,
    *,
    resume: bool = False,
    records_folder: Path | None = None,
    title: str | None = None,
    step: int | None = None,
    allow_changed: Collection[str] = (),
    grace: float = GRACE,
    only_run: bool = False,
) -> Policy | None:
    """Run `config` in `workdir`; returns the trained policy.

    Args:
      config: the run.
      workdir: receives config.json, metrics.jsonl, rollouts.jsonl, tensorboard/, tokenizer/,
        source/, checkpoints/, and eval/<step>/ every `config.loop.evaluate_every` steps. It may be
        in a bucket (`gs://…`, see docs/storage.md).
      resume: go on from the newest checkpoint in `workdir` that is whole, if there is one.
      records_folder: where records are built or found; default `workdir/records`.
      title: what the progress bar says.
      step: resume from the checkpoint of this step; later ones are removed.
      allow_changed: names of config fields that a resume may change though they make it another
        run (see `resume_rules`), or "data".
      grace: seconds from SIGTERM or Ctrl-C to the end of the process; the step under way is
        finished and saved if it can be.
      only_run: nobody wants the policy: of a finished run no weights are read and None is returned.

    Raises:
      InputError: `workdir` holds a run and `resume` is False, is in use, or was made with something
        else; the data or model are bad.
      RunError: a loss is not finite, a reward failed, the disk is full.
      StartAgain, Interrupted: after SIGTERM or Ctrl-C.
    """
    asked = {"resume": resume, "step": step, "allow_changed": sorted(allow_changed)}
    check_same("command", {"version": code_version(), **asked, "config": to_dict(config)})
    use_ontology(config)
    mesh = training_mesh(config)
    first = jax.process_index() == 0
    place = Workdir.of(workdir)
    place.check_own()
    with StopSignals(grace) as stop, place.locked(), place.synced():
        with reaching(place.address):
            stored = stored_run(config, place, resume, step, allow_changed)
        begun = 0 if stored is None else stored.step
        if only_run and step is None and begun >= config.loop.steps:
            return _nothing_left(place, begun, first)
        stop.saved = lambda: what_is_saved(place, None if stored is None else begun)
        try:
            records_folder = records_folder or place.local / RECORDS
            records = prepare_records(
                config.data, config.data.split, config.data.count, records_folder
            )
            check_same("data", records.digest)
            if first:
                print_floor(config, records)
            begin = functools.partial(fresh_start, config, place, records, mesh)
            if stored is not None:
                begin = functools.partial(
                    *(resumed_start, stored, config, place, records.digest, mesh),
                    allow_changed,
                )
            run = _Run(
                config, place, records_folder, records, mesh, first, going_back=step is not None
            )
            return run.train(begin, stop, title or config.algorithm, begun if resume else None)
        except (OSError, RunError) as error:
            told = error
            if isinstance(error, OSError):
                told = output_error(error) or cause(error, place.address)
            if isinstance(told, RunError):
                raise RunError(f"{told}; {stop.saved()}") from error
            raise


def stored_run(
    config: RunConfig,
    workdir: Workdir,
    resume: bool,
    step: int | None,
    allow_changed: Collection[str],
) -> Stored | None:
    """The checkpoint to go on from; what a resume changes, or that there is none, is printed.

    Nothing is written, but that metrics of a run without a checkpoint are set aside.
    """
    if not resume:
        if step is not None or allow_changed:
            raise ConfigError("--step and --allow-changed belong to --resume: add it")
        if exists(workdir.checkpoints):
            raise InputError(
                f"{workdir} holds a run already: add --resume or choose another workdir"
            )
    stored = find_stored(workdir, step=step) if resume else None
    first = jax.process_index() == 0
    if stored is not None:
        told = check_stored(stored, config, workdir, allow_changed)
        if first:
            check_lines(workdir.local)
            print("".join(f"{line}\n" for line in told), end="")
    elif first:
        kept = set_aside(workdir.local)
        if resume or kept:
            lost = f"; the lines of before are kept in {', '.join(kept)}" if kept else ""
            print(printable(f"{workdir} has no checkpoint: starting at step 0{lost}"))
    return stored


@dataclass(frozen=True)
class _Run:
    """A run under way: what all its parts look at."""

    config: RunConfig
    workdir: Workdir
    records_folder: Path
    records: RecordSet
    mesh: Any
    first: bool
    going_back: bool

    def train(
        self, begin: Callable[[], Start], stop: StopSignals, title: str, resume_step: int | None
    ) -> Policy:
        """From its start to the policy; leaves by `stop.error()` where it was asked to stop."""
        config, start = self.config, begin()
        stop.check()
        undivided = check_divides(start.model, self.mesh)
        optimizer = make_optimizer(config.optimizer, config.loop.steps * config.updates)
        layout = abstract_state(start.model, optimizer, self.mesh)
        self._print_start(start.model, layout, undivided)
        evaluate = self._evaluation(start)
        with (
            contextlib.closing(self._batches(start)) as batches,
            use_mesh(self.mesh),
            self._checkpoints() as checkpoints,
        ):
            stop.saved = functools.partial(self._saved, checkpoints)
            sizes, tokenizer, facts = start.model.config, start.tokenizer, start.facts
            shapes = buckets(config.data, self.records)
            learner = make_learner(
                *(config, sizes, tokenizer, optimizer, self.mesh), shapes, start.reference
            )
            if isinstance(learner, GrpoLearner):
                pairs = ((self.records.case(case), task) for case, task in batches.usable.pairs)
                learner.check_examples([example_of(case, task, ()) for case, task in pairs])
            state = self._state(start, optimizer, layout, checkpoints)
            del start  # else two models would have to fit
            stop.check()
            if int(state.step) < config.loop.steps:
                self._compile(learner, state, batches.usable.needs, shapes)
            else:
                _nothing_left(self.workdir, int(state.step), self.first)
            if self.going_back:
                checkpoints.drop_later()
            with RunWriter(self.workdir.local, resume_step, enabled=self.first) as writer:
                writer.config(to_dict(config))
                self.workdir.send()
                stop.safe_points = True
                learner.stop = asked = lambda: anywhere(stop.requested)
                state = run_loop(
                    learner,
                    state,
                    batches,
                    config.loop,
                    writer=writer,
                    schedule=self._schedule(),
                    title=title,
                    save=functools.partial(self._save, writer, checkpoints, facts),
                    evaluate=evaluate,
                    probe=self._probe(sizes),
                    keep_failure=self._keep_failure,
                    stop=asked,
                )
            checkpoints.wait()
            # Asked in its last step too: a demo or an ablation would go on with the next stage.
            if stop.requested or int(state.step) < config.loop.steps:
                raise stop.error()
        if self.records.manifest.has_news and self.first:
            print(self.records.manifest.summary())
        source, place = read_files(self.workdir.local / SOURCE), self.workdir.address
        return Policy(state.model, tokenizer, pixel_budget(config), int(state.step), source, place)

    def _print_start(self, model: Vlm, layout: TrainState, undivided: list[str]) -> None:
        if not self.first:
            return
        if model.config.vision.dve is not None:
            print(describe_dve(model))
        memory = memory_rows(layout, rollout_shapes(self.config), self.mesh)
        devices = 1 if self.mesh is None else self.mesh.size
        Console().print(start_table(parameter_rows(model), memory, devices))
        print("".join(f"{line}\n" for line in undivided), end="")

    def _batches(self, start: Start) -> Batches:
        """Batches from where the run is in its data; what is left out of it is printed."""
        config, data, part = self.config, self.config.data, process_part(self.mesh)
        batches = make_pipeline(
            self.records,
            start.tokenizer,
            start.model.config,
            tasks=data.tasks,
            batch_size=config.batch_size,
            seed=config.seed,
            buckets=buckets(data, self.records),
            targets=config.algorithm == "sft",
            cases_of_task=data.cases_of_task,
            balance=data.balance,
            like_sizes=data.like_sizes,
            augmentation=data.augmentation,
            start=start.facts.examples,
            process_index=part[0],
            process_count=part[1],
        )
        if self.first:
            report_dropped(batches.usable, self.workdir.local / DROPPED)
        return batches

    def _evaluation(self, start: Start):
        if not self.config.loop.evaluate_every:
            return None
        return heldout_evaluation(
            self.config,
            start.tokenizer,
            start.model.config,
            self.records_folder,
            self.workdir.local / EVAL,
        )

    def _checkpoints(self) -> RunCheckpoints:
        loop = self.config.loop
        return RunCheckpoints(
            self.workdir.checkpoints,
            keep=loop.keep_latest,
            keep_every=loop.keep_every or None,
            keep_best=loop.keep_best,
            best_metric=loop.best_metric,
            best_is_max=loop.best_is_max,
        )

    def _state(self, start: Start, optimizer, layout: TrainState, checkpoints) -> TrainState:
        if start.stored is None:
            return create_state(start.model, optimizer, self.mesh)
        return checkpoints.restore(layout, step=start.stored.step)[0]

    def _compile(
        self, learner: Learner, state: TrainState, needs: Iterable[Needs], shapes: Buckets
    ) -> None:
        """For all sizes of batches, before the first step."""
        sizes = bucket_shapes(
            needs,
            state.model.config,
            rows=self.config.batch_size // jax.process_count(),
            buckets=shapes,
            largest=jax.process_count() > 1 and self.config.rl.max_refills > 0,
        )
        temporary = learner.warm_up(state, track(sizes, "compiling", unit="batch sizes"))
        if self.first:
            Console().print(program_table(temporary))

    def _schedule(self) -> Callable[[TrainState], float]:
        """The rate that the next update of a state takes: by the optimizer's own count."""
        config = self.config
        rates = learning_rate_schedule(config.optimizer, config.loop.steps * config.updates)
        return lambda state: float(rates(applied_updates(state.opt_state)))

    def _probe(self, sizes: VlmConfig):
        if sizes.vision.dve is None:
            return None
        return lambda state, inputs: gate_findings(state.model, inputs, self.config.model.compute)

    def _save(
        self, writer, checkpoints, facts: RunFacts, step: int, state, metrics, examples: int
    ) -> None:
        if step == checkpoints.latest_step:
            return  # the step after it was stopped before it had changed anything
        writer.flush()
        self.workdir.send()
        facts = replace(facts, examples=examples)
        checkpoints.save(step, state, facts=facts.to_dict(), metrics=metrics)

    def _keep_failure(self, step: int, result: StepResult) -> Path:
        return keep_failure(self.workdir.address / FAILURE, step, result.state, result.evidence)

    def _saved(self, checkpoints: RunCheckpoints) -> str:
        return what_is_saved(self.workdir, max(checkpoints.steps(), default=None))


def _nothing_left(workdir: Workdir, step: int, first: bool) -> None:
    if first:
        print(printable(f"{workdir} is at step {step}: nothing is left to train"))


def what_is_saved(workdir: Path | Workdir, step: int | None) -> str:
    """For a message: a resume is promised only where there is a checkpoint."""
    if step is None:
        return f"nothing is saved in {workdir}"
    return f"step {step} is saved in {workdir}: go on with --resume"


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


def make_learner(
    config: RunConfig,
    sizes: VlmConfig,
    tokenizer: Tokenizer,
    optimizer,
    mesh,
    shapes: Buckets,
    reference: Vlm | None = None,
) -> Learner:
    """The algorithm that the config names; `reference` is what a KL is measured to.

    `shapes`: of the prompts that are asked again to refill a step.
    """
    common = {
        "compute": config.model.compute,
        "micro_batches": config.micro_batches,
        "mesh": mesh,
    }
    if config.algorithm == "sft":
        length = config.data.completion_length
        return SupervisedLearner(optimizer, target_length=length, **common)
    vocabulary = sizes.text.vocab_size
    if max(config.rl.stop_ids, default=0) >= vocabulary:
        raise ConfigError(
            f"rl.stop_ids={config.rl.stop_ids}: the model's ids end at {vocabulary - 1}"
        )
    collate = functools.partial(
        prompt_inputs,
        tokenizer=tokenizer,
        config=sizes,
        buckets=shapes,
        shape=shapes.largest if jax.process_count() > 1 else None,
    )
    return GrpoLearner(
        optimizer,
        tokenizer,
        config.rl,
        seed=config.seed,
        reference=reference,
        collate=collate,
        **common,
    )
