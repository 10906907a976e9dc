"""The devices that a config's run is laid out over."""

import jax

from skinflow_jax.config import RunConfig
from skinflow_jax.errors import ConfigError
from skinflow_jax.parallel import MeshConfig, batch_axes, make_mesh, mesh_batch_shards


def training_mesh(config: RunConfig):
    """The mesh of the config; None where there is one device and the config asks for no more."""
    single = jax.device_count() == 1 and config.mesh == MeshConfig()
    mesh = None if single else make_mesh(config.mesh)
    check_mesh(config, mesh)
    return mesh


def evaluation_mesh(config: RunConfig):
    """The mesh of the config, which may be a pod's; None where there is but one device."""
    return make_mesh(config.mesh) if jax.device_count() > 1 else None


def check_mesh(config: RunConfig, mesh) -> None:
    """Raise ConfigError unless the prompts of a micro-batch divide over the devices."""
    if mesh is None:
        return
    parts = config.micro_batches * (config.rl.mini_batches if config.algorithm == "grpo" else 1)
    shards = mesh_batch_shards(mesh)
    if config.batch_size % (parts * shards):
        raise ConfigError(
            f"batch_size={config.batch_size} in {parts} micro-batches does not divide over mesh "
            f"{batch_axes(mesh)}: make it a multiple of {parts * shards}"
        )
