"""The device mesh: axes `data` (copies), `fsdp` (sharded copies) and `tensor` (split layers)."""

import math
from dataclasses import dataclass
from typing import Annotated

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from skinflow_jax.errors import ConfigError
from skinflow_jax.typed_fields import Whole, check_fields

MOST_DEVICES = 1_000_000


@dataclass(frozen=True)
class MeshConfig:
    """Devices along each axis; `data=-1` takes all that the other two leave."""

    data: Annotated[int, Whole(1, MOST_DEVICES, also=-1)] = -1
    fsdp: Annotated[int, Whole(1, MOST_DEVICES)] = 1
    tensor: Annotated[int, Whole(1, MOST_DEVICES)] = 1

    def __post_init__(self):
        check_fields(self, "mesh.")


def make_mesh(config: MeshConfig, devices=None) -> Mesh:
    """A mesh over `devices` (default: all).

    Raises ConfigError when the product of the axes is not the number of devices.
    """
    devices = list(devices if devices is not None else jax.devices())
    rest = config.fsdp * config.tensor
    data = len(devices) // rest if config.data == -1 else config.data
    shape = (data, config.fsdp, config.tensor)
    if math.prod(shape) != len(devices):
        raise ConfigError(
            f"mesh data={config.data} fsdp={config.fsdp} tensor={config.tensor} does not cover "
            f"{len(devices)} devices: their product must be {len(devices)}"
        )
    if devices == jax.devices():
        return jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)
    return Mesh(
        np.array(devices).reshape(shape),
        ("data", "fsdp", "tensor"),
        axis_types=(AxisType.Auto,) * 3,
    )
