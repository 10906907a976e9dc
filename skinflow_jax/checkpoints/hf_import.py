"""A model from a Hugging Face folder: every tensor accounted for, or an error that names it."""

import contextlib
from collections import defaultdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from skinflow_jax.checkpoints.hf_folder import HfFolder, read_folder
from skinflow_jax.checkpoints.names import Slot, canonical_name, hf_slots
from skinflow_jax.errors import InputError
from skinflow_jax.json_file import read_json
from skinflow_jax.models.config import DveConfig, VlmConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.vlm import Vlm, abstract_model
from skinflow_jax.parallel import module_shardings


def load_pretrained(
    path: str | Path | HfFolder,
    *,
    dtype: str = "float32",
    dve: DveConfig | None = None,
    mesh=None,
) -> Vlm:
    """A model from a Hugging Face folder of Qwen2.5-VL, sharded files or one.

    Parameters are read and placed one at a time, so the host never holds the whole model.

    Args:
      path: the folder, or what `read_folder` read of it.
      dtype: type of the parameters.
      dve: make the vision tower dynamic (see `with_dve`); None keeps what the folder holds.
      mesh: place each parameter by the training rules on this mesh; None for one device.

    Raises:
      InputError: a tensor is missing, left over or of another shape, or a file is unreadable.
      ConfigError: `dve` does not fit the tower, or the folder holds another one.
    """
    stated = path if isinstance(path, HfFolder) else read_folder(path)
    folder, config = stated.path, stated.config
    slots = hf_slots(config)
    files = _tensor_files(folder, config)
    check_names(set(files), slots, folder)
    model = abstract_model(config)
    shardings = None if mesh is None else module_shardings(model, mesh)
    by_parameter = defaultdict(list)
    for name, slot in slots.items():
        by_parameter[slot.path].append((slot.index or 0, name, slot))

    with contextlib.ExitStack() as stack:
        opened = {}
        for file, _ in set(files.values()):
            opened[file] = _open(file, stack)
        for parameter, entries in by_parameter.items():
            variable = find(model, parameter)
            shape = variable.shape
            stacked = entries[0][2].index is not None
            whole = np.empty(shape if stacked else (1, *shape), jnp.dtype(dtype))
            for index, name, slot in entries:
                file, stored = files[name]
                expected = slot.tensor_shape(whole.shape[1:], name, config)
                tensor = _read(opened[file], stored, expected, file)
                whole[index] = slot.to_parameter(tensor, whole.shape[1:])
            value = whole if stacked else whole[0]
            place = None if shardings is None else find(shardings, parameter).get_value()
            variable.set_value(jax.device_put(value, place))
    return model if dve is None else with_dve(model, dve, mesh=mesh)


def find(module, path: tuple[str, ...]):
    """The parameter at a path of attribute names."""
    for name in path:
        module = getattr(module, name)
    return module


def check_names(found: set[str], slots: dict[str, Slot], where: Path) -> None:
    """Raise InputError unless exactly the tensors of `slots` were found."""
    missing, extra = sorted(set(slots) - found), sorted(found - set(slots))
    if missing or extra:
        parts = [
            f"{len(names)} tensors {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for kind, names in (("missing", missing), ("left over", extra))
            if names
        ]
        raise InputError(
            f"{where}: {' and '.join(parts)}; weights and config.json must be of one model"
        )


def _tensor_files(folder: Path, config: VlmConfig) -> dict[str, tuple[Path, str]]:
    """Canonical tensor name to (file, name in the file)."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise InputError(f"{index} has no weight_map: fetch the file again")
        names = {name: folder / file for name, file in weight_map.items()}
    else:
        single = folder / "model.safetensors"
        if not single.exists():
            raise InputError(
                f"{folder} holds neither {index.name} nor {single.name}: "
                "only safetensors weights can be imported"
            )
        with contextlib.ExitStack() as stack:
            names = dict.fromkeys(_open(single, stack).keys(), single)
    files = {canonical_name(name): (file, name) for name, file in names.items()}
    if config.text.tie_word_embeddings:
        files.pop("lm_head.weight", None)
    return files


def _open(file: Path, stack: contextlib.ExitStack):
    try:
        return stack.enter_context(safe_open(file, framework="flax"))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} cannot be read ({error}): fetch the file again") from error


def _read(opened, stored: str, expected: tuple[int, ...], file: Path) -> np.ndarray:
    try:
        found = tuple(opened.get_slice(stored).get_shape())
        if found != expected:
            raise InputError(
                f"{file}: tensor {stored} has shape {found}, config.json asks for {expected}"
            )
        return np.asarray(opened.get_tensor(stored))
    except SafetensorError as error:
        raise InputError(f"{file}: tensor {stored} cannot be read ({error})") from error
