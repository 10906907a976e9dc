"""The device mesh: axes `data` (copies), `fsdp` (sharded copies) and `tensor` (split layers)."""

import math
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from skinflow_jax.errors import ConfigError


@dataclass(frozen=True)
class MeshConfig:
    """Devices along each axis; `data=-1` takes all that the other two leave."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1


def make_mesh(config: MeshConfig, devices=None) -> Mesh:
    """A mesh over `devices` (default: all).

    Raises ConfigError when the product of the axes is not the number of devices.
    """
    devices = list(devices if devices is not None else jax.devices())
    for name in ("fsdp", "tensor"):
        if getattr(config, name) < 1:
            raise ConfigError(f"mesh.{name}={getattr(config, name)} must be at least 1")
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
