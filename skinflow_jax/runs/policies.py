"""Policies: opened, started afresh or from another, imported and exported."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import jax.numpy as jnp

from skinflow_jax.checkpoints.agreement import together
from skinflow_jax.checkpoints.hf_adapter import is_adapter, load_adapter, save_adapter, stated_base
from skinflow_jax.checkpoints.hf_export import MAX_SHARD_BYTES, save_pretrained
from skinflow_jax.checkpoints.hf_folder import (
    HfFolder,
    check_tokenizer,
    read_files,
    read_folder,
    source_objects,
    write_files,
)
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.checkpoints.hf_processor import (
    PREPROCESSOR,
    PixelBudget,
    read_pixel_budget,
    write_pixel_budget,
)
from skinflow_jax.checkpoints.model_card import Card
from skinflow_jax.checkpoints.reading import model_config_of, whole_checkpoint
from skinflow_jax.checkpoints.run_state import RunCheckpoints, load_model, read_facts
from skinflow_jax.checkpoints.step_folders import finished_steps
from skinflow_jax.config import DataConfig, RunConfig
from skinflow_jax.data.chat import corpus, prompt_texts
from skinflow_jax.data.sources import Source
from skinflow_jax.errors import InputError, printable
from skinflow_jax.models.config import model_config
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.layers import parameter_count
from skinflow_jax.models.lora import with_lora
from skinflow_jax.models.vlm import Vlm, init_model
from skinflow_jax.models.widening import with_extra_width
from skinflow_jax.runs.card import run_card
from skinflow_jax.runs.cases import open_source, readable_cases
from skinflow_jax.runs.facts import check_inherited, inherited
from skinflow_jax.runs.lock import workdir_lock
from skinflow_jax.runs.workdir import CHECKPOINTS, SOURCE, TOKENIZER, Workdir
from skinflow_jax.storage.paths import (
    absolute,
    fetched,
    is_folder,
    local,
    reaching,
    storage_path,
)
from skinflow_jax.tokenizers import (
    Tokenizer,
    has_tokenizer,
    load_tokenizer,
    render_default_chat,
    train_sentencepiece,
)
from skinflow_jax.training.state import TrainState


@dataclass(frozen=True)
class Policy:
    """A model, the tokenizer whose ids it speaks, the size of the images it knows (if stated).

    `step`: of the checkpoint that it was read from; None for a Hugging Face folder. `source`: name
    to content of the other files of the Hugging Face folder that it descends from, if it does.
    """

    model: Vlm
    tokenizer: Tokenizer
    pixels: PixelBudget | None = None
    step: int | None = None
    source: Mapping[str, bytes] = field(default_factory=dict)


def open_checkpoint(folder: Path, mesh=None, *, step: int | None = None) -> Policy:
    """The policy in a run's workdir, a Hugging Face folder or a PEFT adapter's, upon its base.

    Args:
      folder: one of the three.
      mesh: where the parameters go; None for one device.
      step: which checkpoint of a run; None for the newest that is whole.

    Raises InputError when it is neither, or the tokenizer is not the one that the weights speak.
    """
    check_checkpoint(folder)
    with reaching(folder):
        if is_adapter(folder):
            return _adapted(folder, _base_folder(folder), mesh)
        if not is_run(folder):
            stated = together(partial(_read_with_tokenizer, folder))
            model = load_pretrained(stated, mesh=mesh)
            return Policy(model, stated.tokenizer, stated.pixels, source=stated.files)
        step, facts = whole_checkpoint(folder / CHECKPOINTS, step)
        if "config" in facts:  # an import has none
            data = facts["config"]["data"]
            pixels = PixelBudget(data["min_pixels"], data["max_pixels"])
        else:
            pixels = read_pixel_budget(folder, model_config_of(facts, folder).vision)
        check_inherited(facts, folder)
        model = load_model(folder / CHECKPOINTS, step=step, mesh=mesh)
        tokenizer = load_tokenizer(
            fetched(folder / TOKENIZER),
            eos_ids=model.config.eos_token_ids,
            pad_id=model.config.pad_token_id,
        )
        return Policy(model, tokenizer, pixels, step, read_files(folder / SOURCE))


def _read_with_tokenizer(folder: Path) -> HfFolder:
    """What a folder states, a tokenizer among it."""
    stated = read_folder(folder)
    if stated.tokenizer is None:
        raise InputError(f"{folder} has no tokenizer.json: add the model's tokenizer files")
    return stated


def _adapted(folder: Path, base: Path, mesh=None) -> Policy:
    """The adapter in `folder` upon the model in `base`, with the tokenizer beside the adapter."""
    policy = open_checkpoint(base, mesh)
    model = load_adapter(policy.model, folder, mesh=mesh)
    tokenizer = together(partial(_adapter_tokenizer, folder, policy))
    return dataclasses.replace(policy, model=model, tokenizer=tokenizer, step=None)


def _adapter_tokenizer(folder: Path, base: Policy) -> Tokenizer:
    """The one in the adapter's folder, with its own chat template; without one the base's."""
    if not has_tokenizer(folder):
        return base.tokenizer
    config = base.model.config
    tokenizer = load_tokenizer(folder, eos_ids=config.eos_token_ids, pad_id=config.pad_token_id)
    check_tokenizer(tokenizer, config, folder)
    for text in prompt_texts(render_default_chat):
        if tokenizer.encode(text) != base.tokenizer.encode(text):
            raise InputError(
                f"{folder}: its tokenizer gives other ids than that of its base, {config.name}: "
                "the two must be of one model"
            )
    return tokenizer


def _base_folder(adapter: Path) -> Path:
    """The base that an adapter names, where that is a folder here."""
    stated = stated_base(adapter)
    base = Path(stated or "")
    if stated is None or not base.is_dir() or is_adapter(base):
        raise InputError(
            f"{adapter} is a PEFT adapter whose base, {stated}, is no folder here: make a workdir "
            f"of both with skinflow import-hf --model={adapter} --base=FOLDER --workdir=WORKDIR"
        )
    return base


def stored_config(folder: Path) -> dict | None:
    """The config that a run's newest checkpoint was made with; None where there is no such."""
    return read_facts(folder / CHECKPOINTS).get("config") if is_run(folder) else None


def is_run(folder: Path) -> bool:
    """Whether the folder is the workdir of a run, and so no Hugging Face folder."""
    with reaching(folder):
        return is_folder(folder / CHECKPOINTS)


def check_checkpoint(folder: Path) -> None:
    """Raise InputError, before anything slow, where there can be no model."""
    wanted = "give the workdir of an earlier run or a Hugging Face model folder"
    with reaching(folder):
        if not is_folder(folder):
            state = "is not a folder" if folder.exists() else "does not exist"
            raise InputError(f"{folder} {state}: {wanted}")
        if is_run(folder):
            return
        local(folder, "the Hugging Face folder")
        if not (is_adapter(folder) or (folder / "config.json").is_file()):
            raise InputError(f"{folder} holds neither {CHECKPOINTS}/ nor config.json: {wanted}")


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
        return Policy(init_model(sizes.with_tokenizer(tokenizer), config.seed), tokenizer)
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


def fresh_tokenizer(config: RunConfig, folder: Path) -> Tokenizer:
    """The tokenizer of a run that starts from random weights, written into `folder`."""
    source = open_source(config.data, config.data.split, config.data.count)
    vocabulary = model_config(config.model.size).text.vocab_size
    return train_tokenizer(config.data, source, folder, vocabulary)


def train_tokenizer(data: DataConfig, source: Source, folder: Path, vocab_size: int) -> Tokenizer:
    """A SentencePiece tokenizer of the source's own corpus, for models without a published one."""
    return train_sentencepiece(tokenizer_corpus(source, data.seed), folder, vocab_size=vocab_size)


def tokenizer_corpus(source: Source, seed: int) -> list[str]:
    """Texts to train on. The prompts stand once per case, as often as training will see them."""
    cases = readable_cases(source)
    texts = list(corpus(cases, source.diagnoses, seed, render_default_chat))
    return texts + prompt_texts(render_default_chat) * len(cases)


def import_hf(folder: Path, workdir: Path, base: Path | None = None) -> None:
    """Make a workdir, ready for `model.init_from`, of a Hugging Face folder.

    `base`: the model under it, where `folder` holds a PEFT adapter.
    """
    place = Workdir.of(workdir)
    with reaching(place.address):
        if finished_steps(place.checkpoints):
            raise InputError(f"{workdir} holds a run already: choose another workdir")
    policy = open_checkpoint(folder) if base is None else _upon(folder, base)
    with workdir_lock(place.local), place.synced():
        place.remove(TOKENIZER, SOURCE, PREPROCESSOR)  # left by an import that was killed
        policy.tokenizer.save_pretrained(place.local / TOKENIZER)
        write_files(policy.source, place.local / SOURCE)
        if policy.pixels is not None:
            write_pixel_budget(place.local, policy.pixels, policy.model.config.vision)
        place.send()
        state = TrainState(jnp.int32(0), policy.model, ())
        source = base or (_base_folder(folder) if is_adapter(folder) else folder)
        facts = {"imported_from": str(absolute(source)), **inherited(place.local)}
        with RunCheckpoints(place.checkpoints, frugal=True) as checkpoints:
            checkpoints.save(0, state, facts=facts)
    count = parameter_count(policy.model)
    accounted = f"every tensor accounted for, {count:,} parameters"
    print(printable(f"{folder}: {accounted}; written to {workdir}"))


def _upon(folder: Path, base: Path) -> Policy:
    """An adapter upon a base that is named beside it."""
    check_checkpoint(folder)
    if not is_adapter(folder):
        raise InputError(f"{folder} is no PEFT adapter: leave --base out")
    stated = stated_base(folder)
    if stated is not None and Path(stated).name != base.resolve().name:
        print(printable(f"{folder} says that its base is {stated}; {base} is taken"))
    return _adapted(folder, base)


def export_hf(
    checkpoint: Path,
    out: Path,
    *,
    dtype: str | None = None,
    adapter: bool = False,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a checkpoint as a Hugging Face folder.

    `dtype`, `max_shard_bytes`: see `save_pretrained`. `adapter`: write its LoRA adapters alone, for
    PEFT, not a whole model.
    """
    policy = open_checkpoint(checkpoint)
    if adapter:
        base = adapter_base(checkpoint)
        save_adapter(
            policy.model,
            out,
            base=base and str(absolute(base)),
            dtype=dtype,
            tokenizer=policy.tokenizer,
            card=_card(checkpoint, policy),
        )
        told = "" if base is None else f", upon the base {base}"
        if base is None or is_run(base):
            told += "; export its base, merged, for PyTorch"
        print(printable(f"written: {out}, for peft.PeftModel.from_pretrained{told}"))
        return
    budget = {} if policy.pixels is None else dataclasses.asdict(policy.pixels)
    save_pretrained(
        policy.model,
        out,
        tokenizer=policy.tokenizer,
        source=policy.source,
        dtype=dtype,
        max_shard_bytes=max_shard_bytes,
        card=_card(checkpoint, policy),
        **budget,
    )
    print(printable(f"written: {out}, for transformers' Qwen2_5_VLForConditionalGeneration"))


def adapter_base(checkpoint: Path) -> Path | None:
    """Where the model under a checkpoint's adapters is: a Hugging Face folder, or a run.

    None where it is nowhere: a run began from random weights, or changed those it began from.
    """
    if is_adapter(checkpoint):
        return _base_folder(checkpoint)
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
    adapted = model_config_of(stored, before).lora is not None
    return adapter_base(before) if adapted or "imported_from" in stored else before


def _card(checkpoint: Path, policy: Policy) -> Card:
    """What a run's card tells; of a Hugging Face folder nothing is known."""
    if not is_run(checkpoint):
        return Card()
    return run_card(checkpoint, policy.step, source_objects(policy.source).get("config.json"))
