"""A Hugging Face folder, read once and whole but for its weights: what everyone else asks.

The one truth about where an answer ends and what pads: `generation_config.json`, else
`config.json`, else the tokenizer, as transformers has it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from skinflow_jax.checkpoints.hf_config import ends_of, read_config, vlm_config
from skinflow_jax.checkpoints.hf_fields import GENERATION
from skinflow_jax.checkpoints.hf_processor import PixelBudget, read_pixel_budget
from skinflow_jax.data.chat import prompt_texts
from skinflow_jax.errors import InputError
from skinflow_jax.json_file import check_fetched, read_json
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.storage.paths import is_file
from skinflow_jax.tokenizers import Tokenizer, has_tokenizer, load_tokenizer

SOURCE_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)
"""What is carried along beside the tokenizer's files."""

ADAPTER_CONFIG = "adapter_config.json"
"""What makes a folder one of a PEFT adapter."""


@dataclass(frozen=True)
class HfFolder:
    """What a folder states.

    Attributes:
      path: where it is; its weights are read from there.
      config: of the model; its `eos_token_ids` and `pad_token_id` are the truth about them.
      tokenizer: with the same ids; None where the folder has none.
      pixels: how large an image may be; None where no file says so.
      files: name to content of `SOURCE_FILES`, as read.
    """

    path: Path
    config: VlmConfig
    tokenizer: Tokenizer | None
    pixels: PixelBudget | None
    files: Mapping[str, bytes]


def read_folder(path: str | Path) -> HfFolder:
    """Everything that a Hugging Face folder states but its weights, checked whole.

    Raises InputError naming the file, field and remedy where something is missing, is not what this
    program computes, or does not belong together.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give a Hugging Face model folder")
    if (folder / ADAPTER_CONFIG).exists():
        raise InputError(
            f"{folder / ADAPTER_CONFIG} makes it the folder of a PEFT adapter, which transformers "
            "would add to the model: import it with --base=FOLDER, or remove the file if a whole "
            "model is here"
        )
    for name in (*SOURCE_FILES, "tokenizer.json"):
        check_fetched(folder / name)
    stated, generation = read_config(folder), _generation(folder / "generation_config.json")
    eos, pad = ends_of(generation, stated, folder)
    tokenizer = None
    if has_tokenizer(folder):
        tokenizer = load_tokenizer(folder, eos_ids=eos, pad_id=pad)
        eos, pad = tokenizer.eos_ids, tokenizer.pad_id
    if eos is None:
        raise InputError(f"{stated.path} states no eos_token_id: add generation_config.json")
    config = vlm_config(stated, folder.name, eos_ids=eos, pad_id=pad)
    if tokenizer is not None:
        check_tokenizer(tokenizer, config, folder)
    pixels, files = read_pixel_budget(folder, config.vision), read_files(folder)
    for name in files:  # those that nothing here reads are JSON too, or no export could be made
        read_json(folder / name)
    return HfFolder(folder, config, tokenizer, pixels, files)


def _generation(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    stated = read_json(path)
    GENERATION.checked(stated, path)
    return stated


def read_files(folder: Path) -> dict[str, bytes]:
    """Name to content of `SOURCE_FILES` in a folder; nothing where there is no folder."""
    return {name: (folder / name).read_bytes() for name in SOURCE_FILES if is_file(folder / name)}


def source_objects(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """`files`, as `HfFolder` has them, as JSON objects."""
    return {name: json.loads(content.decode("utf-8-sig")) for name, content in files.items()}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write `files`, name to content, into `folder`, which is made if there are any."""
    for name, content in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def check_tokenizer(tokenizer: Tokenizer, config: VlmConfig, where: str | Path) -> None:
    """Raise InputError unless ids mean the same to tokenizer and model."""
    pairs = {
        "image_token_id": (tokenizer.image_token_id, config.image_token_id),
        "video_token_id": (tokenizer.video_token_id, config.video_token_id),
        "vision_start_id": (tokenizer.vision_start_id, config.vision_start_token_id),
        "vision_end_id": (tokenizer.vision_end_id, config.vision_end_token_id),
        "pad_id": (tokenizer.pad_id, config.pad_token_id),
        "eos_ids": (tuple(tokenizer.eos_ids), tuple(config.eos_token_ids)),
    }
    unknown = [i for i in config.eos_token_ids if i >= tokenizer.vocab_size]
    if unknown:
        raise InputError(
            f"{where}: eos_token_id names {unknown[0]}, which is no token of the tokenizer: "
            "correct generation_config.json or config.json"
        )
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(
                f"{where}: {name} is {theirs} to the tokenizer, {ours} to the model; "
                "use the tokenizer that the model was trained with"
            )
    if tokenizer.vocab_size > config.text.vocab_size:
        raise InputError(
            f"{where}: the tokenizer's vocab_size {tokenizer.vocab_size} exceeds the model's "
            f"{config.text.vocab_size} embeddings; use the tokenizer that it was trained with"
        )


def check_chat(tokenizer: Tokenizer, where: str | Path) -> None:
    """Raise InputError unless the chat template makes a prompt of each task: its image, its words.

    Told as a model is imported, not when a run asks it for the first time.
    """
    texts = prompt_texts(partial(tokenizer.render_chat, add_generation_prompt=True))
    counts = {tokenizer.encode(text).count(tokenizer.image_token_id) for text in texts}
    if counts != {1}:
        raise InputError(
            f"{where}: its chat template gives a prompt of one image {max(counts - {1})} image "
            "placeholders: use the template that the model was trained with"
        )
    if len(set(texts)) < len(texts):
        raise InputError(
            f"{where}: its chat template leaves out what is asked: use the template that the "
            "model was trained with"
        )
