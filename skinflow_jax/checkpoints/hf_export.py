"""A model as a Hugging Face folder that transformers loads: the reverse of `hf_import`."""

import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from skinflow_jax.checkpoints.hf_config import config_to_hf, generation_to_hf
from skinflow_jax.checkpoints.hf_folder import check_tokenizer, source_objects, write_files
from skinflow_jax.checkpoints.hf_import import find
from skinflow_jax.checkpoints.hf_processor import PixelBudget, processor_files
from skinflow_jax.checkpoints.hf_safetensors import (
    all_finite,
    blocks,
    converted,
    weights_dtype,
    write_file,
)
from skinflow_jax.checkpoints.model_card import Card, model_card
from skinflow_jax.checkpoints.names import Slot, hf_slots, nested_name
from skinflow_jax.data.chat import prompt_texts
from skinflow_jax.errors import InputError, RunError
from skinflow_jax.json_file import write_json
from skinflow_jax.models.layers import layer
from skinflow_jax.models.vlm import Vlm
from skinflow_jax.parallel import read_dtype
from skinflow_jax.storage.whole_folder import check_vacant, whole_folder
from skinflow_jax.tokenizers import Tokenizer, render_default_chat, verify_export

EXPORT_DTYPES = ("float32", "bfloat16")
MAX_SHARD_BYTES = 5 * 10**9

# What a model with a dynamic vision encoder brings along, for transformers knows none.
TORCH_FILES = sorted(Path(__file__).with_name("torch_dve").glob("*_skinflow.py"))

# The pixel budget in the preprocessor_config.json of Qwen/Qwen2.5-VL-7B-Instruct.
MIN_PIXELS, MAX_PIXELS = 56 * 56, 28 * 28 * 16_384


def save_pretrained(
    model: Vlm,
    path: str | Path,
    *,
    tokenizer: Tokenizer | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    dtype: str | None = None,
    min_pixels: int = MIN_PIXELS,
    max_pixels: int = MAX_PIXELS,
    card: Card | Mapping[str, str] | None = None,
    source: Mapping[str, bytes] | None = None,
) -> None:
    """Write a Hugging Face folder: weights in shards, configs, tokenizer, model card.

    The host holds one tensor at a time. The folder appears under its name only when complete.

    Args:
      model: the model. Adapters are folded into the weights.
      path: the folder to make; it may exist if it is empty.
      tokenizer: the one the model was trained with; None writes none.
      max_shard_bytes: most tensor bytes of a file; a single larger tensor gets its own.
      dtype: "float32" or "bfloat16", the type of the tensors but for those that a dynamic map reads
        in float32; None for that of `source`, or without one the parameters' own.
      min_pixels: least pixels an image is resized to, as in training.
      max_pixels: most pixels.
      card: facts for the model card, or sections of it, e.g. {"Training data": "synthetic"}.
      source: `HfFolder.files` of the folder that the model descends from, whose other fields are
        carried along.

    Raises:
      ConfigError: `dtype` is neither.
      InputError: `path` is taken, the tokenizer is not the model's or gives other ids when it is
        read again, or a value is too large for `dtype`.
      RunError: a tensor is not finite.
    """
    folder = Path(path)
    kept = None if dtype is None else weights_dtype(dtype, EXPORT_DTYPES)
    check_vacant(folder)
    config = model.config
    if tokenizer is not None:
        check_tokenizer(tokenizer, config, folder)
    with whole_folder(folder) as unfinished:
        before = source_objects(source or {})
        kept = kept or _source_dtype(before.get("config.json", {}))
        _write_weights(model, unfinished, kept, max_shard_bytes)
        write_files(source or {}, unfinished)
        _write_objects(model, unfinished, kept, PixelBudget(min_pixels, max_pixels), before)
        if tokenizer is not None:
            write_tokenizer(tokenizer, unfinished)
        if config.vision.dve is not None:
            for file in TORCH_FILES:
                shutil.copyfile(file, unfinished / file.name)
        described = model_card(model, card or {})
        (unfinished / "README.md").write_text(described, encoding="utf-8")


def _write_objects(
    model: Vlm,
    folder: Path,
    dtype: np.dtype | None,
    pixels: PixelBudget,
    source: Mapping[str, dict],
) -> None:
    """The JSON files that say what the weights are and what they are asked by."""
    config, written = model.config, dtype or model.decoder.embedding.dtype
    fields = config_to_hf(config, source.get("config.json")) | {"torch_dtype": written.name}
    generation = generation_to_hf(config, source.get("generation_config.json"))
    objects = {"config.json": fields, "generation_config.json": generation}
    for name, content in (objects | processor_files(pixels, config.vision, source)).items():
        write_json(folder / name, content)


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer's files. Raises InputError where they give the prompts other ids."""
    tokenizer.save_pretrained(folder)
    verify_export(tokenizer, folder, prompt_texts(render_default_chat))


def _source_dtype(config: Mapping) -> np.dtype | None:
    """The type that a config.json states; what is wider or narrower than ours is not ours."""
    places = (config, config.get("text_config") or {})
    stated = (place.get(name) for place in places for name in ("dtype", "torch_dtype"))
    return next((np.dtype(jnp.dtype(name)) for name in stated if name in EXPORT_DTYPES), None)


def _write_weights(model: Vlm, folder: Path, dtype: np.dtype | None, max_shard_bytes: int) -> None:
    slots, config = hf_slots(model.config), model.config
    written = str if config.vision.dve is None else nested_name
    layout = {name: tensor_layout(model, name, slot, dtype) for name, slot in slots.items()}
    sizes = {name: math.prod(shape) * kept.itemsize for name, (kept, shape) in layout.items()}
    shards = plan_shards(sizes, max_shard_bytes)
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        parts = (
            part
            for name in names
            for part in tensor_parts(model, name, slots[name], layout[name][0])
        )
        write_file(folder / file, {written(name): layout[name] for name in names}, parts)
        weight_map |= dict.fromkeys(map(written, names), file)
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index)


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


def tensor_layout(
    model: Vlm, name: str, slot: Slot, dtype: np.dtype | None
) -> tuple[np.dtype, tuple[int, ...]]:
    """(type, shape) in which a tensor is written; `dtype` None: its parameter's type."""
    variable = find(model, slot.path)
    shape = variable.shape if slot.index is None else variable.shape[1:]
    kept = np.dtype(read_dtype(variable, dtype) if dtype else variable.dtype)
    return kept, slot.tensor_shape(shape, name, model.config)


def tensor_parts(model: Vlm, name: str, slot: Slot, dtype: np.dtype) -> Iterator[np.ndarray]:
    """A tensor's elements in their order in the file, block by block."""
    value = np.asarray(_value(model, slot))
    rows = value.transpose(slot.stored_axes(value.shape))
    for block in blocks(tuple(slice(0, size) for size in rows.shape), dtype.itemsize):
        part = converted(np.ascontiguousarray(rows[block]), dtype)
        if not all_finite(part):
            if value.dtype != dtype and all_finite(value):
                raise InputError(
                    f"{name} has values too large for {dtype.name}: export with --dtype=float32"
                )
            raise RunError(f"{name} holds NaN or infinity: export an earlier checkpoint")
        yield part


def _value(model: Vlm, slot: Slot):
    *home, kind = slot.path
    owner = find(model, home)
    if kind == "kernel" and owner.lora_a is not None:
        return (owner if slot.index is None else layer(owner, slot.index)).whole_kernel()
    value = getattr(owner, kind).get_value()
    return value if slot.index is None else value[slot.index]
