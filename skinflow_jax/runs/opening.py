"""A policy opened: from a run's workdir, a Hugging Face folder or a PEFT adapter's."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from skinflow_jax.checkpoints.agreement import together
from skinflow_jax.checkpoints.hf_adapter import is_adapter, load_adapter, stated_base
from skinflow_jax.checkpoints.hf_folder import HfFolder, check_tokenizer, read_files, read_folder
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.checkpoints.hf_processor import PixelBudget, read_pixel_budget
from skinflow_jax.checkpoints.reading import model_config_of, whole_checkpoint
from skinflow_jax.checkpoints.run_state import load_model, read_facts
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.schema_file import load_schema
from skinflow_jax.data.chat import prompt_texts
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.vlm import Vlm
from skinflow_jax.runs.facts import check_inherited
from skinflow_jax.runs.ontologies import use_named
from skinflow_jax.runs.workdir import CHECKPOINTS, SOURCE, TOKENIZER
from skinflow_jax.storage.paths import fetched, is_folder, local, reaching
from skinflow_jax.tokenizers import Tokenizer, has_tokenizer, load_tokenizer, render_default_chat


@dataclass(frozen=True)
class Policy:
    """A model, the tokenizer whose ids it speaks, the size of the images it knows (if stated).

    `step`: of the checkpoint that it was read from; None for a Hugging Face folder. `source`: name
    to content of the other files of the Hugging Face folder that it descends from, if it does.
    `workdir`: of the run that trained it, where `train` returned it.
    """

    model: Vlm
    tokenizer: Tokenizer
    pixels: PixelBudget | None = None
    step: int | None = None
    source: Mapping[str, bytes] = field(default_factory=dict)
    workdir: Path | None = None

    def pixel_range(self, most: int | None, *, name: str, remedy: str) -> tuple[int, int]:
        """Fewest and most pixels of an image; `most` replaces the latter.

        Raises InputError, with the model's `name` and the `remedy`, where neither says it.
        """
        if self.pixels is None and most is None:
            raise InputError(
                f"{name} has no preprocessor_config.json, which says how large its images are: "
                f"fetch the file or {remedy}"
            )
        if self.pixels is None:
            return 1, most
        return self.pixels.min_pixels, most or self.pixels.max_pixels


def open_checkpoint(
    folder: Path, mesh=None, *, step: int | None = None, dtype: str = "float32"
) -> Policy:
    """The policy in a run's workdir, a Hugging Face folder or a PEFT adapter's, upon its base.

    Args:
      folder: one of the three.
      mesh: where the parameters go; None for one device.
      step: which checkpoint of a run; None for the newest that is whole.
      dtype: of the parameters, but for those that are read in float32.

    Raises InputError when it is neither, or the tokenizer is not the one that the weights speak.
    """
    check_checkpoint(folder)
    with reaching(folder):
        if is_adapter(folder):
            return adapted(folder, base_folder(folder), mesh, dtype)
        if not is_run(folder):
            stated = together(partial(_read_with_tokenizer, folder))
            model = load_pretrained(stated, mesh=mesh, dtype=dtype)
            return Policy(model, stated.tokenizer, stated.pixels, source=stated.files)
        step, facts = whole_checkpoint(folder / CHECKPOINTS, step)
        if "config" in facts:  # an import has none
            data = facts["config"]["data"]
            pixels = PixelBudget(data["min_pixels"], data["max_pixels"])
        else:
            pixels = read_pixel_budget(folder, model_config_of(facts, folder).vision)
        check_inherited(facts, folder)
        model = load_model(folder / CHECKPOINTS, step=step, mesh=mesh, dtype=dtype)
        tokenizer = load_tokenizer(
            fetched(folder / TOKENIZER),
            eos_ids=model.config.eos_token_ids,
            pad_id=model.config.pad_token_id,
        )
        return Policy(model, tokenizer, pixels, step, read_files(folder / SOURCE))


def stored_sizes(folder: Path) -> VlmConfig:
    """Of the model that `open_checkpoint` would open, of an adapter's base; no weights are read."""
    check_checkpoint(folder)
    with reaching(folder):
        if is_adapter(folder):
            return stored_sizes(base_folder(folder))
        if is_run(folder):
            return model_config_of(read_facts(folder / CHECKPOINTS), folder)
        return _read_with_tokenizer(folder).config


def _read_with_tokenizer(folder: Path) -> HfFolder:
    """What a folder states, a tokenizer among it."""
    stated = read_folder(folder)
    if stated.tokenizer is None:
        remedy = "add the model's tokenizer files"
        if all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
            remedy = f"make it of vocab.json and merges.txt by {tokenizer_command(folder)}"
        raise InputError(f"{folder} has no tokenizer.json: {remedy}")
    return stated


def tokenizer_command(folder: Path) -> str:
    """The line for a shell by which transformers writes the tokenizer.json of an older folder."""
    where = json.dumps(str(folder))
    program = f"from transformers import AutoTokenizer as T; t = T.from_pretrained({where}); "
    return shlex.join(["python", "-c", f"{program}t.save_pretrained({where})"])


def adapted(folder: Path, base: Path, mesh=None, dtype: str = "float32") -> Policy:
    """The adapter in `folder` upon the model in `base`, with the tokenizer beside the adapter.

    Raises InputError where the two do not belong together, or one is damaged.
    """
    policy = open_checkpoint(base, mesh, dtype=dtype)
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


def base_folder(adapter: Path) -> Path:
    """The base that the adapter in a folder names. Raises InputError where it is no folder here."""
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


def stored_schema(folder: Path) -> Schema:
    """The caption schema that a run was made with; ours for a Hugging Face folder.

    Raises InputError where its file is gone.
    """
    data = (stored_config(folder) or {}).get("data", {})
    return load_schema(data.get("caption_schema", "clinical"))


def use_stored_ontology(folder: Path) -> None:
    """Make the ontology that a run was made with the one in use; ours for a Hugging Face folder.

    Raises InputError where its file is gone.
    """
    clinical = (stored_config(folder) or {}).get("clinical", {})
    use_named(clinical.get("ontology"))


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
