"""Policies: started afresh or from another, imported and exported."""

import dataclasses
import os
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from skinflow_jax.checkpoints.agreement import together
from skinflow_jax.checkpoints.hf_adapter import is_adapter, save_adapter, stated_base
from skinflow_jax.checkpoints.hf_export import MAX_SHARD_BYTES, save_pretrained
from skinflow_jax.checkpoints.hf_folder import check_chat, source_objects, write_files
from skinflow_jax.checkpoints.hf_processor import PREPROCESSOR, write_pixel_budget
from skinflow_jax.checkpoints.model_card import Card
from skinflow_jax.checkpoints.reading import model_config_of
from skinflow_jax.checkpoints.run_state import RunCheckpoints, read_facts
from skinflow_jax.checkpoints.step_folders import finished_steps
from skinflow_jax.config import DataConfig, RunConfig
from skinflow_jax.data.chat import corpus, prompt_texts
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.sources import Source
from skinflow_jax.data.sources.case import schema_of
from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.models.config import model_config
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.layers import parameter_count
from skinflow_jax.models.lora import with_lora
from skinflow_jax.models.vlm import init_model
from skinflow_jax.models.widening import with_extra_width
from skinflow_jax.parallel import MeshConfig, make_mesh, place_module
from skinflow_jax.runs.card import run_card
from skinflow_jax.runs.cases import readable_cases
from skinflow_jax.runs.facts import inherited
from skinflow_jax.runs.opening import (
    Policy,
    adapted,
    base_folder,
    check_checkpoint,
    is_run,
    open_checkpoint,
)
from skinflow_jax.runs.workdir import CHECKPOINTS, SOURCE, TOKENIZER, Workdir
from skinflow_jax.storage.paths import absolute, exists, reaching, storage_path
from skinflow_jax.storage.whole_folder import check_vacant
from skinflow_jax.tokenizers import Tokenizer, render_default_chat, train_sentencepiece
from skinflow_jax.training.state import TrainState


def starting_policy(
    config: RunConfig,
    make_tokenizer: Callable[[], Tokenizer],
    mesh=None,
    *,
    step: int | None = None,
) -> Policy:
    """What a run starts from: a checkpoint, or random weights.

    `make_tokenizer` gives the one that random weights are made for; `step` says which checkpoint.
    """
    if config.model.init_from is None:
        sizes, tokenizer = model_config(config.model.size), make_tokenizer()
        model = init_model(sizes.with_tokenizer(tokenizer), config.seed, mesh)
        return Policy(model, tokenizer)
    return open_checkpoint(storage_path(config.model.init_from), mesh, step=step)


def converted(policy: Policy, config: RunConfig, mesh=None) -> Policy:
    """The policy with what the config adds to its model: width, dynamic maps, adapters."""
    model, options = policy.model, {"seed": config.seed, "mesh": mesh}
    if config.model.extra_width:
        model = with_extra_width(model, config.model.extra_width, **options)
    if config.model.dve is not None:
        model = with_dve(model, config.model.dve, **options)
    if config.model.lora is not None:
        model = with_lora(model, config.model.lora, **options)
    model.config = dataclasses.replace(model.config, trainable=config.model.trainable)
    return dataclasses.replace(policy, model=model)


def fresh_tokenizer(config: RunConfig, source: Source | RecordSet, folder: Path) -> Tokenizer:
    """The tokenizer of a run that starts from random weights, written into `folder`."""
    vocabulary = model_config(config.model.size).text.vocab_size
    return train_tokenizer(config.data, source, folder, vocabulary)


def train_tokenizer(
    data: DataConfig, source: Source | RecordSet, folder: Path, vocab_size: int
) -> Tokenizer:
    """A SentencePiece tokenizer of the cases' own corpus, for models without a published one."""
    return train_sentencepiece(tokenizer_corpus(source, data.seed), folder, vocab_size=vocab_size)


def tokenizer_corpus(source: Source | RecordSet, seed: int) -> list[str]:
    """Texts to train on. The prompts stand once per case, as often as training will see them."""
    cases = readable_cases(source)
    schema = schema_of(source)
    texts = list(corpus(cases, source.diagnoses, seed, render_default_chat, schema))
    return texts + prompt_texts(render_default_chat, schema) * len(cases)


def import_hf(folder: Path, workdir: Path, base: Path | None = None) -> None:
    """Make a workdir, ready for `model.init_from`, of a Hugging Face folder.

    `base`: the model under it, where `folder` holds a PEFT adapter.
    """
    place = Workdir.of(workdir)
    place.check_own()
    with reaching(place.address):
        if finished_steps(place.checkpoints) or exists(place.address / "config.json"):
            raise InputError(f"{workdir} holds a run already: choose another workdir")
    # Of several processes each reads its part.
    mesh = make_mesh(MeshConfig(fsdp=jax.device_count())) if jax.process_count() > 1 else None
    policy = open_checkpoint(folder, mesh) if base is None else _upon(folder, base, mesh)
    check_chat(policy.tokenizer, folder)
    with place.locked(), place.synced():
        place.remove(TOKENIZER, SOURCE, PREPROCESSOR)  # left by an import that was killed
        together(partial(_write_import, policy, place))
        state = place_module(TrainState(jnp.int32(0), policy.model, ()), mesh)
        source = base or (base_folder(folder) if is_adapter(folder) else folder)
        facts = {"imported_from": str(absolute(source)), **inherited(place.local)}
        with RunCheckpoints(place.checkpoints, frugal=True) as checkpoints:
            checkpoints.save(0, state, facts=facts)
    count = parameter_count(policy.model)
    accounted = f"every tensor accounted for, {count:,} parameters"
    print(printable(f"{folder}: {accounted}; written to {workdir}"))


def _write_import(policy: Policy, place: Workdir) -> None:
    """All of an import but its checkpoint."""
    if place.is_writer:
        policy.tokenizer.save_pretrained(place.local / TOKENIZER)
        write_files(policy.source, place.local / SOURCE)
        if policy.pixels is not None:
            write_pixel_budget(place.local, policy.pixels, policy.model.config.vision)
    place.send()


def _upon(folder: Path, base: Path, mesh=None) -> Policy:
    """An adapter upon a base that is named beside it."""
    check_checkpoint(folder)
    if not is_adapter(folder):
        raise InputError(f"{folder} is no PEFT adapter: leave --base out")
    stated = stated_base(folder)
    if stated is not None and Path(stated).name != base.resolve().name:
        print(printable(f"{folder} says that its base is {stated}; {base} is taken"))
    return adapted(folder, base, mesh)


def export_hf(
    checkpoint: Path,
    out: Path,
    *,
    dtype: str | None = None,
    adapter: bool = False,
    max_shard_bytes: int | None = None,
) -> None:
    """Write a checkpoint as a Hugging Face folder.

    `dtype`, `max_shard_bytes`: see `save_pretrained`. `adapter`: write its LoRA adapters alone, for
    PEFT, not a whole model.
    """
    if adapter and max_shard_bytes is not None:
        raise ConfigError("an adapter is one file: leave --max-shard-size out, or --adapter")
    check_vacant(out)
    if Path(os.path.realpath(checkpoint / CHECKPOINTS)) in Path(os.path.realpath(out)).parents:
        raise InputError(f"{out} is among the run's checkpoints: choose another folder")
    if adapter:
        _export_adapter(open_checkpoint(checkpoint), checkpoint, out, dtype)
        return
    policy = open_checkpoint(checkpoint)
    budget = {} if policy.pixels is None else dataclasses.asdict(policy.pixels)
    save_pretrained(
        policy.model,
        out,
        tokenizer=policy.tokenizer,
        source=policy.source,
        dtype=dtype,
        max_shard_bytes=max_shard_bytes or MAX_SHARD_BYTES,
        card=_card(checkpoint, policy),
        **budget,
    )
    print(printable(f"written: {out}, for transformers' Qwen2_5_VLForConditionalGeneration"))


def _export_adapter(policy: Policy, checkpoint: Path, out: Path, dtype: str | None) -> None:
    base, made_by = adapter_base(checkpoint), None
    if base is None and policy.model.config.lora is not None:
        raise InputError(
            f"{checkpoint}: the weights under its adapters are kept nowhere, for it began from "
            "random ones or widened those it began from: export it merged, without --adapter"
        )
    if base is not None and is_run(base):  # PyTorch reads no workdir
        made_by = f"skinflow export-hf --checkpoint={shlex.quote(str(absolute(base)))} --out=FOLDER"
    save_adapter(
        policy.model,
        out,
        base=base and str(absolute(base)),
        base_made_by=made_by,
        dtype=dtype,
        tokenizer=policy.tokenizer,
        card=_card(checkpoint, policy),
    )
    told = f"written: {out}, for peft.PeftModel.from_pretrained, upon the base {base}"
    print(printable(told if made_by is None else f"{told}; make a folder of it by {made_by}"))


def adapter_base(checkpoint: Path) -> Path | None:
    """Where the model under a checkpoint's adapters is: a Hugging Face folder, or a run.

    None where it is nowhere: a run began from random weights, or changed those it began from.
    """
    if is_adapter(checkpoint):
        return base_folder(checkpoint)
    if not is_run(checkpoint):
        return checkpoint
    facts = read_facts(checkpoint / CHECKPOINTS)
    if "imported_from" in facts:
        return Path(facts["imported_from"])
    origin = (facts.get("origin") or {}).get("folder")
    if origin is None or facts["config"]["model"].get("extra_width"):
        return None
    before = storage_path(origin)
    if not is_run(before):
        return adapter_base(before)
    stored = read_facts(before / CHECKPOINTS)
    further = "imported_from" in stored or model_config_of(stored, before).lora is not None
    return adapter_base(before) if further else before


def _card(checkpoint: Path, policy: Policy) -> Card:
    """What a run's card tells; of a Hugging Face folder nothing is known."""
    if not is_run(checkpoint):
        return Card()
    return run_card(checkpoint, policy.step, source_objects(policy.source).get("config.json"))
