"""A model as a Hugging Face folder that transformers loads: the reverse of `hf_import`."""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from skinflow_jax.checkpoints.hf_config import config_to_hf, generation_to_hf
from skinflow_jax.checkpoints.hf_folder import check_tokenizer, source_objects, write_files
from skinflow_jax.checkpoints.hf_import import find
from skinflow_jax.checkpoints.hf_processor import PixelBudget, processor_files
from skinflow_jax.checkpoints.model_card import Card, model_card
from skinflow_jax.checkpoints.names import Slot, hf_slots, nested_name
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.layers import layer
from skinflow_jax.models.vlm import Vlm
from skinflow_jax.storage.whole_folder import whole_folder
from skinflow_jax.tokenizers import Tokenizer

# What a model with a dynamic vision encoder brings along, for transformers knows none.
TORCH_FILES = sorted(Path(__file__).with_name("torch_dve").glob("*_skinflow.py"))

# The pixel budget in the preprocessor_config.json of Qwen/Qwen2.5-VL-7B-Instruct.
MIN_PIXELS, MAX_PIXELS = 56 * 56, 28 * 28 * 16_384


def save_pretrained(
    model: Vlm,
    path: str | Path,
    *,
    tokenizer: Tokenizer | None = None,
    max_shard_bytes: int = 5 * 2**30,
    min_pixels: int = MIN_PIXELS,
    max_pixels: int = MAX_PIXELS,
    card: Card | Mapping[str, str] | None = None,
    source: Mapping[str, bytes] | None = None,
) -> None:
    """Write a Hugging Face folder: weights in shards, configs, tokenizer, model card.

    The host holds one shard at a time. The folder appears under its name only when complete.

    Args:
      model: the model; tensors keep its parameters' type. Adapters are folded into the weights.
      path: the folder to make; it may exist if it is empty.
      tokenizer: the one the model was trained with; None writes none.
      max_shard_bytes: most tensor bytes of a file; a single larger tensor gets its own.
      min_pixels: least pixels an image is resized to, as in training.
      max_pixels: most pixels.
      card: facts for the model card, or sections of it, e.g. {"Training data": "synthetic"}.
      source: `HfFolder.files` of the folder that the model descends from, whose other fields are
        carried along.

    Raises:
      InputError: `path` is taken, or the tokenizer is not the model's.
    """
    folder = Path(path)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty: choose another folder or remove it")
    config = model.config
    if tokenizer is not None:
        check_tokenizer(tokenizer, config, folder)
    with whole_folder(folder) as unfinished:
        _write_weights(model, unfinished, max_shard_bytes)
        dtype = str(model.decoder.embedding.dtype)
        write_files(source or {}, unfinished)
        before = source_objects(source or {})
        fields = config_to_hf(config, before.get("config.json")) | {"torch_dtype": dtype}
        _write_json(unfinished / "config.json", fields)
        generation = generation_to_hf(config, before.get("generation_config.json"))
        _write_json(unfinished / "generation_config.json", generation)
        pixels = PixelBudget(min_pixels, max_pixels)
        for name, content in processor_files(pixels, config.vision, before).items():
            _write_json(unfinished / name, content)
        if tokenizer is not None:
            tokenizer.save_pretrained(unfinished)
        if config.vision.dve is not None:
            for file in TORCH_FILES:
                shutil.copy(file, unfinished)
        described = model_card(model, card or {})
        (unfinished / "README.md").write_text(described, encoding="utf-8")


def _write_weights(model: Vlm, folder: Path, max_shard_bytes: int) -> None:
    slots, config = hf_slots(model.config), model.config
    written = str if config.vision.dve is None else nested_name
    sizes = {name: _tensor_bytes(model, slot) for name, slot in slots.items()}
    shards = plan_shards(sizes, max_shard_bytes)
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = {written(name): _tensor(model, name, slots[name], config) for name in names}
        # transformers refuses a file that does not say what wrote its tensors.
        save_file(tensors, folder / file, metadata={"format": "pt"})
        # safetensors makes files that only their owner reads; others are as the umask says.
        (folder / file).chmod(folder.stat().st_mode & 0o666)
        weight_map |= dict.fromkeys(tensors, file)
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
    _write_json(folder / "model.safetensors.index.json", index)


def plan_shards(sizes: Mapping[str, int], max_bytes: int) -> list[list[str]]:
    """Names in order, cut into files of at most `max_bytes` (a larger tensor stands alone)."""
    shards, used = [[]], 0
    for name, size in sizes.items():
        if shards[-1] and used + size > max_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    return shards


def _tensor_bytes(model: Vlm, slot: Slot) -> int:
    variable = find(model, slot.path)
    shape = variable.shape if slot.index is None else variable.shape[1:]
    return math.prod(shape) * variable.dtype.itemsize


def _tensor(model: Vlm, name: str, slot: Slot, config: VlmConfig) -> np.ndarray:
    parameter = np.asarray(_value(model, slot))
    shape = slot.tensor_shape(parameter.shape, name, config)
    return np.ascontiguousarray(slot.to_tensor(parameter, shape))


def _value(model: Vlm, slot: Slot):
    *home, kind = slot.path
    owner = find(model, home)
    if kind == "kernel" and owner.lora_a is not None:
        return (owner if slot.index is None else layer(owner, slot.index)).whole_kernel()
    value = getattr(owner, kind).get_value()
    return value if slot.index is None else value[slot.index]


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
