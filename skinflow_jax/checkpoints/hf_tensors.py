"""Which file of a Hugging Face folder holds which tensor: every one has one place, or an error."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from skinflow_jax.checkpoints.hf_safetensors import StoredTensor, blocks, read_header
from skinflow_jax.checkpoints.names import canonical_name
from skinflow_jax.errors import InputError, printable, shortened
from skinflow_jax.json_file import read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

# What there may be in place of weights that can be imported, by the end of a file's name.
_FOREIGN = {
    "adapter_model.safetensors": "a PEFT adapter, no whole model: import it with --base=FOLDER",
    "adapter_model.bin": "a pickled PEFT adapter: save it as safetensors",
    "pytorch_model.bin.index.json": "the index of pickled weights, which could run any code",
    ".bin": "a pickle, which could run any code",
    ".pt": "a pickle, which could run any code",
    ".pth": "a pickle, which could run any code",
    ".ckpt": "a pickle, which could run any code",
    ".gguf": "GGUF, quantised for llama.cpp",
    ".msgpack": "of Flax",
    ".h5": "of TensorFlow",
    ".onnx": "ONNX",
    ".safetensors": f"a file that no {INDEX} names: fetch that too, or name it {SINGLE}",
}

# Parts of tensor names that only quantised or unmerged models have.
_KINDS = {
    "quantised by GPTQ or AWQ": (".qweight", ".qzeros", ".g_idx", ".scales"),
    "quantised by bitsandbytes": (".absmax", ".quant_map", ".quant_state", ".SCB", "nested_absmax"),
    "quantised (FP8 or compressed-tensors)": (
        *(".weight_scale", ".input_scale", ".activation_scale", ".weight_packed"),
        ".weight_zero_point",
    ),
    "with adapters that are not merged": (".lora_A", ".lora_B", ".base_layer.", "base_model."),
}


def stored_tensors(folder: Path, *, tied: bool) -> dict[str, StoredTensor]:
    """Every tensor of a model folder by its canonical name, from headers alone.

    `model.safetensors` goes before an index, as in transformers. `tied`: the head is the
    embedding; a copy of it in the folder is left out if it is one.

    Raises InputError naming file and tensor: no safetensors there, what the index names is absent,
    cut or outside the folder, index and files disagree, two tensors for one parameter.
    """
    if (folder / SINGLE).exists() or (folder / SINGLE).is_symlink():
        named = read_header(folder / SINGLE)
    elif (folder / INDEX).exists():
        named = _sharded(folder)
    else:
        raise InputError(_nothing_there(folder))
    found = renamed(named, canonical_name)
    if tied:
        _drop_tied_head(found)
    return found


def renamed(
    named: Mapping[str, StoredTensor], rename: Callable[[str], str]
) -> dict[str, StoredTensor]:
    """The tensors under other names. Raises InputError where two would have the same."""
    found: dict[str, StoredTensor] = {}
    for name, tensor in named.items():
        other = found.setdefault(rename(name), tensor)
        if other is not tensor:
            raise InputError(
                f"{tensor.file}: tensors {listed([other.name])} and {listed([name])} are for one "
                "parameter: remove one of them"
            )
    return found


def check_names(found: Collection[str], expected: Collection[str], where: Path) -> None:
    """Raise InputError unless exactly the tensors of `expected` were found."""
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    for kind, signs in _KINDS.items():
        telling = [name for name in extra if any(sign in name for sign in signs)]
        if telling:
            raise InputError(
                f"{where}: the model is {kind} ({listed(telling)}): take the plain one it was"
            )
    if missing or extra:
        parts = [
            f"{len(names)} tensors {kind} ({listed(names)})"
            for kind, names in (("missing", missing), ("left over", extra))
            if names
        ]
        raise InputError(
            f"{where}: {' and '.join(parts)}; weights and config.json must be of one model"
        )


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and a sign where there are more."""
    names = list(names)
    shown = ", ".join(shortened(printable(name), 120) for name in names[:most])
    return f"{shown}{', …' if len(names) > most else ''}"


def _sharded(folder: Path) -> dict[str, StoredTensor]:
    """The tensors that an index names, each in the one file where the index says."""
    index = folder / INDEX
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{index} has no weight_map: fetch the file again")
    for name, file in weight_map.items():
        if not _is_plain(file):
            raise InputError(
                f"{index}: {shortened(printable(name), 120)} is said to be in "
                f"{shortened(repr(file), 120)}: only plain names of .safetensors files in the "
                "folder are followed"
            )
    found: dict[str, StoredTensor] = {}
    for file in sorted(set(weight_map.values())):
        for name, tensor in read_header(folder / file).items():
            if name in found:
                raise InputError(
                    f"{folder / file}: tensor {listed([name])} is in {found[name].file.name} too: "
                    "fetch the folder again"
                )
            if weight_map.get(name) != file:
                told = f"in {weight_map[name]}" if name in weight_map else "nowhere"
                raise InputError(
                    f"{folder / file} holds tensor {shortened(printable(name), 120)}, which "
                    f"{INDEX} says is {told}: fetch the folder again"
                )
            found[name] = tensor
    absent = [name for name in weight_map if name not in found]
    if absent:
        raise InputError(
            f"{folder / weight_map[absent[0]]}: {len(absent)} tensors that {INDEX} names are not "
            f"in their files ({listed(absent)}): fetch the folder again"
        )
    return found


def _is_plain(file) -> bool:
    """Whether a name leads to a file of the folder itself, or a link there, as in a cache."""
    return (
        isinstance(file, str)
        and file.endswith(".safetensors")
        and not any(c in "/\\\0" or not c.isprintable() for c in file)
        and len(file.encode("utf-8", "replace")) <= 255
    )


def _drop_tied_head(found: dict[str, StoredTensor]) -> None:
    head = found.pop("lm_head.weight", None)
    embedding = found.get("model.embed_tokens.weight")
    if head is None or embedding is None or _same(head, embedding):
        return
    raise InputError(
        f"{head.file}: tensor {head.name} is not {embedding.name}, but config.json says "
        "tie_word_embeddings: set it to false for a model with a head of its own"
    )


def _same(a: StoredTensor, b: StoredTensor) -> bool:
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    region = tuple(slice(0, size) for size in a.shape)
    return all(
        np.array_equal(_bits(a.read(a.shape, part)), _bits(b.read(b.shape, part)))
        for part in blocks(region, a.dtype.itemsize)
    )


def _bits(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1).view(np.uint8)


def _nothing_there(folder: Path) -> str:
    there = sorted(path.name for path in folder.iterdir())
    for end, kind in _FOREIGN.items():
        for name in there:
            if name.endswith(end):
                return (
                    f"{folder} holds neither {SINGLE} nor {INDEX}; {shortened(name, 120)} is "
                    f"{kind}: only safetensors weights of a whole model can be imported"
                )
    return f"{folder} holds neither {SINGLE} nor {INDEX}: only safetensors weights can be imported"
