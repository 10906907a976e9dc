"""How a run begins: from what its config names, or from its own checkpoint."""

import functools
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp

from skinflow_jax.checkpoints.agreement import by_the_first, together
from skinflow_jax.checkpoints.fingerprint import fingerprint
from skinflow_jax.checkpoints.hf_folder import write_files
from skinflow_jax.checkpoints.hf_processor import PixelBudget, write_pixel_budget
from skinflow_jax.checkpoints.reading import model_config_of, whole_checkpoint
from skinflow_jax.checkpoints.step_folders import step_folders
from skinflow_jax.config import RunConfig
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.trainable import trained_part
from skinflow_jax.models.vlm import Vlm, abstract_model
from skinflow_jax.parallel import as_read
from skinflow_jax.runs.facts import (
    Origin,
    RunFacts,
    check_config,
    check_data,
    check_inherited,
    made_by,
    read_run_facts,
)
from skinflow_jax.runs.opening import Policy
from skinflow_jax.runs.policies import converted, fresh_tokenizer, starting_policy
from skinflow_jax.runs.resume_rules import is_allowed
from skinflow_jax.runs.workdir import SOURCE, TOKENIZER, Workdir
from skinflow_jax.storage.paths import absolute
from skinflow_jax.tokenizers import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class Stored:
    """A checkpoint to go on from: nothing of it but the facts has been read."""

    step: int
    facts: RunFacts
    model: VlmConfig


@dataclass(frozen=True)
class Start:
    """What the rest of a run is built around.

    `model` is abstract where a checkpoint is still to be restored into it. `reference` is what a
    KL is measured to, where the run measures one: the part that training moves, as its own arrays.
    """

    model: Vlm
    tokenizer: Tokenizer
    facts: RunFacts
    reference: Vlm | None
    stored: Stored | None = None


def find_stored(workdir: Workdir, *, step: int | None = None) -> Stored | None:
    """The checkpoint that a resume takes: `step`, or the newest that is whole; None without any.

    Raises InputError where no checkpoint is whole, or there is none of that step.
    """
    folder = workdir.checkpoints
    if step is None and not by_the_first(functools.partial(step_folders, folder)):
        return None
    found, facts = whole_checkpoint(folder, step)
    sizes = model_config_of(facts, folder / str(found))
    return Stored(found, read_run_facts(facts, workdir), sizes)


def check_stored(
    stored: Stored, config: RunConfig, workdir: Workdir, allowed: Collection[str]
) -> list[str]:
    """Compare config and tokenizer with the checkpoint's facts; what has to be said, a line each.

    Raises ConfigError or InputError naming what is not as it was. Nothing is written.
    """
    check_inherited(stored.facts.to_dict(), workdir.address)
    return check_config(stored.facts, config, workdir, allowed)


def fresh_start(config: RunConfig, workdir: Workdir, records: RecordSet, mesh) -> Start:
    """Start from what the config names; tokenizer and image size are written into the workdir."""
    workdir.remove(TOKENIZER, SOURCE)
    with tempfile.TemporaryDirectory() as own:  # each process trains the same tokenizer
        make_tokenizer = functools.partial(fresh_tokenizer, config, records, Path(own))
        policy = starting_policy(config, make_tokenizer, mesh)
    origin = _origin(config, policy)
    policy = converted(policy, config, mesh)
    together(functools.partial(_write, policy, config, workdir))
    facts = made_by(config, workdir.local, records.digest, origin)
    reference = kept_reference(policy.model, config) if measures_kl(config) else None
    return Start(policy.model, policy.tokenizer, facts, reference)


def _origin(config: RunConfig, policy: Policy) -> Origin:
    """Which `policy` a run starts from, wherever its next command is given."""
    folder = config.model.init_from
    where = None if folder is None else str(absolute(folder))
    return Origin(where, policy.step, fingerprint(policy.model).of())


def _write(policy: Policy, config: RunConfig, workdir: Workdir) -> None:
    """What a run has of the model that it starts from. Each process reads it afterwards."""
    if workdir.is_writer:
        policy.tokenizer.save_pretrained(workdir.local / TOKENIZER)
        write_files(policy.source, workdir.local / SOURCE)
        write_pixel_budget(workdir.local, pixel_budget(config), policy.model.config.vision)


def resumed_start(
    stored: Stored,
    config: RunConfig,
    workdir: Workdir,
    data: str,
    mesh,
    allowed: Collection[str],
) -> Start:
    """Go on with the tokenizer and the model that the checkpoint describes.

    The image size is written anew: `allowed` may have changed it.
    """
    check_data(stored.facts, data, workdir, allowed)
    tokenizer = load_tokenizer(
        workdir.local / TOKENIZER,
        eos_ids=stored.model.eos_token_ids,
        pad_id=stored.model.pad_token_id,
    )
    reference, origin, examples = None, stored.facts.origin, stored.facts.examples
    if measures_kl(config):
        reference, origin = _reference(origin, config, workdir, mesh, allowed)
    facts = replace(made_by(config, workdir.local, data, origin), examples=examples)
    if workdir.is_writer:
        write_pixel_budget(workdir.local, pixel_budget(config), stored.model.vision)
    return Start(abstract_model(stored.model), tokenizer, facts, reference, stored)


def pixel_budget(config: RunConfig) -> PixelBudget:
    """How large the images of the run are."""
    return PixelBudget(config.data.min_pixels, config.data.max_pixels)


def measures_kl(config: RunConfig) -> bool:
    """Whether the run needs the model that it started from."""
    return config.algorithm == "grpo" and config.rl.needs_reference


def kept_reference(model: Vlm, config: RunConfig) -> Vlm:
    """What a KL is measured to: the trained part, in the types that the forward pass reads it in.

    As arrays of their own: the policy's will be moved.
    """
    part = trained_part(model)
    kept = as_read(part, config.model.dtype)
    return jax.tree.map(lambda own, its: jnp.copy(its) if own is its else own, kept, part)


def _reference(
    origin: Origin, config: RunConfig, workdir: Workdir, mesh, allowed: Collection[str]
) -> tuple[Vlm, Origin]:
    """The trained part of the model that the run started from, and where it is.

    Raises InputError where it is not there any more, unless `allowed` has it that the KL is
    measured from now on to what `model.init_from` holds.
    """
    name = "model.init_from"
    another = is_allowed(name, allowed)
    remedy = (
        f"the KL is measured to it: restore it, or measure to another model from now on by "
        f"--allow-changed={name}"
    )
    where = f"{config.model.init_from or 'random weights'}"
    where += "" if origin.step is None else f", step {origin.step}"
    try:
        make_tokenizer = functools.partial(load_tokenizer, workdir.local / TOKENIZER)
        step = None if another else origin.step
        policy = starting_policy(config, make_tokenizer, mesh, step=step)
    except InputError as error:
        raise InputError(f"{workdir} started from {where}, {remedy} ({error})") from error
    found = _origin(config, policy)
    if found.fingerprint != origin.fingerprint and not another:
        raise InputError(f"{where}: not the model that {workdir} started from; {remedy}")
    return kept_reference(converted(policy, config, mesh).model, config), found
