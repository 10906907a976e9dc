"""A model from a Hugging Face folder: every tensor accounted for, or an error that names it.

Parameters are read part by part into the arrays where they stay: each process reads the bytes of
the parts that its devices hold, and beside the model never more than a block of a tensor is held.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

from skinflow_jax.checkpoints.agreement import together
from skinflow_jax.checkpoints.hf_folder import HfFolder, read_folder
from skinflow_jax.checkpoints.hf_safetensors import (
    Region,
    StoredTensor,
    all_finite,
    blocks,
    converted,
    weights_dtype,
)
from skinflow_jax.checkpoints.hf_tensors import check_names, listed, stored_tensors
from skinflow_jax.checkpoints.names import Slot, hf_slots
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import DveConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.vlm import Vlm, abstract_model
from skinflow_jax.parallel import module_shardings, read_dtype

Home = tuple[tuple[str, ...], int | None]
"""A parameter's path in the model and the layer, where it is stacked."""


def load_pretrained(
    path: str | Path | HfFolder,
    *,
    dtype: str = "float32",
    dve: DveConfig | None = None,
    mesh=None,
) -> Vlm:
    """A model from a Hugging Face folder of Qwen2.5-VL, sharded files or one.

    Args:
      path: the folder, or what `read_folder` read of it.
      dtype: type of the parameters, "float32", "bfloat16" or "float16", but for those that are read
        in float32 whatever it is.
      dve: make the vision tower dynamic (see `with_dve`); None keeps what the folder holds.
      mesh: place each parameter by the training rules on this mesh; None for one device. All
        processes of the mesh must call; where one fails, all do.

    Raises:
      InputError: a tensor is missing, left over, of another shape or type, not finite or there
        twice, or a file is cut or no safetensors.
      ConfigError: `dtype` is none of these, `dve` does not fit the tower, or the folder holds
        another one.
    """
    kept = weights_dtype(dtype)

    def load() -> Vlm:
        stated = path if isinstance(path, HfFolder) else read_folder(path)
        return _load(stated, kept, mesh)

    model = together(load)
    return model if dve is None else with_dve(model, dve, mesh=mesh)


def find(module, path: tuple[str, ...]):
    """The parameter at a path of attribute names."""
    for name in path:
        module = getattr(module, name)
    return module


def _load(stated: HfFolder, dtype: np.dtype, mesh) -> Vlm:
    folder, config = stated.path, stated.config
    model = abstract_model(config)
    stored = stored_tensors(folder, tied=config.text.tie_word_embeddings)
    if config.text.num_layers + config.vision.depth > len(stored):
        raise InputError(
            f"{folder}: config.json asks for {config.text.num_layers:,} and "
            f"{config.vision.depth:,} layers, the weights are {len(stored):,} tensors; they must "
            "be of one model"
        )
    slots = hf_slots(config)
    check_names(stored, slots, folder)
    fill(model, slots, stored, dtype=dtype, mesh=mesh, where=folder)
    return model


def fill(
    model: Vlm,
    slots: Mapping[str, Slot],
    stored: Mapping[str, StoredTensor],
    *,
    dtype: np.dtype,
    mesh,
    where: Path,
) -> None:
    """Set the parameters of `model` that `slots` name to what is stored under the same names.

    Raises InputError naming a tensor of another shape, or those in `where` that are not finite.
    """
    homes = _homes(model, slots, stored)
    shardings = None if mesh is None else module_shardings(model, mesh)
    not_finite: dict[str, None] = {}
    for parameter in dict.fromkeys(path for path, _ in homes):
        variable = find(model, parameter)
        place = SingleDeviceSharding(jax.devices()[0])
        if shardings is not None:
            place = find(shardings, parameter).get_value()
        kept = np.dtype(read_dtype(variable, dtype))
        reader = _Reader(homes, parameter, variable.shape, kept, not_finite)
        variable.set_value(jax.make_array_from_callback(variable.shape, place, reader))
    if not_finite:
        raise InputError(
            f"{where}: {len(not_finite)} tensors hold NaN or infinity as {dtype.name} "
            f"({listed(not_finite)}): fetch the folder again, or take an earlier checkpoint"
        )


def _homes(
    model: Vlm, slots: Mapping[str, Slot], stored: Mapping[str, StoredTensor]
) -> dict[Home, tuple[Slot, StoredTensor]]:
    """Which tensor fills what, shapes compared. Raises InputError."""
    wrong = []
    for name, slot in slots.items():
        shape = _layer_shape(find(model, slot.path).shape, slot)
        tensor, expected = stored[name], slot.tensor_shape(shape, name, model.config)
        if tensor.shape != expected:
            wrong.append(
                f"{tensor.file}: tensor {tensor.name} has shape {tensor.shape}, "
                f"config.json asks for {expected}"
            )
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(f"{wrong[0]}{more}: weights and config.json must be of one model")
    return {(slot.path, slot.index): (slot, stored[name]) for name, slot in slots.items()}


def _layer_shape(shape: tuple[int, ...], slot: Slot) -> tuple[int, ...]:
    return shape if slot.index is None else shape[1:]


class _Reader:
    """From an index of one parameter to its values there, read from the files."""

    def __init__(
        self,
        homes: dict[Home, tuple[Slot, StoredTensor]],
        path: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: np.dtype,
        not_finite: dict[str, None],
    ):
        """`not_finite` is given the names of tensors that are not."""
        self._homes, self._path, self._shape = homes, path, shape
        self._dtype, self._not_finite = dtype, not_finite
        self._made: dict[tuple, np.ndarray] = {}

    def __call__(self, index: tuple[slice, ...]) -> np.ndarray:
        """What devices share is read once."""
        spans = tuple(one.indices(n)[:2] for one, n in zip(index, self._shape, strict=True))
        if spans not in self._made:
            self._made[spans] = self._part(tuple(slice(*span) for span in spans))
        return self._made[spans]

    def _part(self, region: Region) -> np.ndarray:
        found = _aligned(tuple(one.stop - one.start for one in region), self._dtype)
        if (self._path, None) in self._homes:
            self._fill(found, None, self._shape, region)
        else:
            layers = range(region[0].start, region[0].stop)
            for target, layer in zip(found, layers, strict=True):
                self._fill(target, layer, self._shape[1:], region[1:])
        return found

    def _fill(
        self, target: np.ndarray, layer: int | None, shape: tuple[int, ...], region: Region
    ) -> None:
        """Into `target` the part `region` of the parameter of `shape`, of one layer."""
        slot, tensor = self._homes[self._path, layer]
        axes = slot.stored_axes(shape)
        view, stored = tuple(shape[axis] for axis in axes), tuple(region[axis] for axis in axes)
        rows = target.transpose(axes)
        for block in blocks(stored, tensor.dtype.itemsize):
            values = converted(tensor.read(view, block), self._dtype)
            if not all_finite(values):
                self._not_finite[tensor.name] = None
            place = block[0].start - stored[0].start
            rows[place : place + len(values)] = values


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array that JAX takes as it is on a CPU: other places in memory it copies."""
    size, align = math.prod(shape) * dtype.itemsize, 64
    raw = np.empty(size + align, np.uint8)
    start = -raw.ctypes.data % align
    return raw[start : start + size].view(dtype).reshape(shape)
