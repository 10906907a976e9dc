"""The device mesh: one layout of the devices for runs, plans and benchmarks.

Axes, outermost first: `slice` (over the data-centre network; of what is large only gradients cross
it), `data` (copies), `fsdp` (sharded copies), `tensor` (split layers; within a process). Devices
are taken in the order of slice, process and coordinates, so that each process holds whole rows of
the batch. `jax.make_mesh` would follow the torus instead: on a v6e 4x4 its innermost axis of 4 lies
over two hosts.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from skinflow_jax.errors import ConfigError
from skinflow_jax.typed_fields import Whole, check_fields

AXES = ("slice", "data", "fsdp", "tensor")
BATCH_AXES = ("slice", "data", "fsdp")
MOST_DEVICES = 1_000_000


@dataclass(frozen=True)
class MeshConfig:
    """Devices along each axis; `data=-1` takes all that the others leave.

    `slice=-1`: what the devices say, which is 1 but on several TPU slices.
    """

    slice: Annotated[int, Whole(1, MOST_DEVICES, also=-1)] = -1
    data: Annotated[int, Whole(1, MOST_DEVICES, also=-1)] = -1
    fsdp: Annotated[int, Whole(1, MOST_DEVICES)] = 1
    tensor: Annotated[int, Whole(1, MOST_DEVICES)] = 1

    def __post_init__(self):
        check_fields(self, "mesh.")

    def __str__(self) -> str:
        parts = f"data={self.data} fsdp={self.fsdp} tensor={self.tensor}"
        return parts if self.slice == -1 else f"slice={self.slice} {parts}"


def make_mesh(config: MeshConfig, devices=None) -> Mesh:
    """A mesh over `devices` (default: all of all processes).

    Raises ConfigError, with the nearest mesh that works, when the product of the axes is not the
    number of devices, when `tensor` would reach over processes, or `slice` is not what the devices
    say.
    """
    devices = sorted(jax.devices() if devices is None else devices, key=_place)
    slices = _slices(config, devices)
    rows = slices * config.fsdp * config.tensor
    data = len(devices) // rows if config.data == -1 else config.data
    shape = (slices, data, config.fsdp, config.tensor)
    in_process = _devices_of_each(devices, "process", lambda device: device.process_index)
    if math.prod(shape) != len(devices):
        raise ConfigError(
            f"mesh {config} does not cover {_counted(devices, slices)}: their product must be "
            f"{len(devices)}; {_nearest(config, len(devices), slices, in_process)}"
        )
    if in_process % config.tensor:
        raise ConfigError(
            f"mesh.tensor={config.tensor} would reach over several processes, which have "
            f"{in_process} devices each and read prompts of their own; "
            f"{_nearest(config, len(devices), slices, in_process)}"
        )
    return Mesh(np.array(devices).reshape(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def process_part(mesh: Mesh | None) -> tuple[int, int]:
    """(which, of how many) parts of a batch this process brings: its rows of the mesh, in order."""
    if mesh is None or jax.process_count() == 1:
        return 0, 1
    order = list(dict.fromkeys(device.process_index for device in mesh.devices.flat))
    return order.index(jax.process_index()), len(order)


def _place(device) -> tuple:
    return (
        _slice_of(device),
        device.process_index,
        *reversed(getattr(device, "coords", None) or ()),
        getattr(device, "core_on_chip", None) or 0,
        device.id,
    )


def _slice_of(device) -> int:
    return getattr(device, "slice_index", None) or 0


def _slices(config: MeshConfig, devices: Sequence) -> int:
    # The slice of a GPU is its machine: there it is the person who says what the network is like.
    on_tpu, found = devices[0].platform == "tpu", 1
    if on_tpu:
        found = len(devices) // _devices_of_each(devices, "slice", _slice_of)
    if config.slice == -1:
        return found
    processes = len({device.process_index for device in devices})
    if config.slice != found and (on_tpu or processes % config.slice):
        raise ConfigError(
            f"mesh.slice={config.slice}: "
            + (f"the devices are of {found} slice(s)" if on_tpu else f"{processes} processes")
            + "; leave it at -1"
        )
    return config.slice


def _devices_of_each(devices: Sequence, what: str, number_of: Callable) -> int:
    """Of each process or slice; raises ConfigError where they have not equally many."""
    counts = Counter(map(number_of, devices))
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{what} {i} has {n}" for i, n in sorted(counts.items()))
        raise ConfigError(f"every {what} must have as many devices as the others: {told}")
    return next(iter(counts.values()))


def _counted(devices: Sequence, slices: int) -> str:
    processes = len({device.process_index for device in devices})
    told = f"{len(devices)} devices"
    told += f" of {processes} processes" if processes > 1 else ""
    return told + (f" in {slices} slices" if slices > 1 else "")


def _nearest(config: MeshConfig, count: int, slices: int, in_process: int) -> str:
    """The mesh that works whose axes are nearest to those asked for, in octaves."""

    def distance(shape: tuple[int, int, int]) -> float:
        asked = (config.data if config.data != -1 else shape[0], config.fsdp, config.tensor)
        return sum(abs(math.log2(a / b)) for a, b in zip(asked, shape, strict=True))

    data, fsdp, tensor = min(_meshes(count // slices, in_process), key=distance)
    return f"the nearest that works: data={data} fsdp={fsdp} tensor={tensor}"


def _meshes(count: int, in_process: int) -> Iterator[tuple[int, int, int]]:
    divisors = [n for n in range(1, count + 1) if count % n == 0]
    for fsdp, tensor in itertools.product(divisors, divisors):
        if in_process % tensor == 0 and count % (fsdp * tensor) == 0:
            yield count // (fsdp * tensor), fsdp, tensor
