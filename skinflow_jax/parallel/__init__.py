"""Mesh, logical axis rules and layout constraints: the same program on one device and on many."""

from skinflow_jax.parallel.agreement import anywhere
from skinflow_jax.parallel.mesh import MeshConfig, make_mesh, process_part
from skinflow_jax.parallel.precision import as_read, read_dtype
from skinflow_jax.parallel.sharding import (
    ROLLOUT_RULES,
    TRAIN_RULES,
    batch_axes,
    batch_shards,
    check_divides,
    constrain,
    constrain_module,
    local_rows,
    mesh_batch_shards,
    module_shardings,
    place_batch,
    place_module,
    rollout_copy,
    use_mesh,
)

__all__ = [
    "ROLLOUT_RULES",
    "TRAIN_RULES",
    "MeshConfig",
    "anywhere",
    "as_read",
    "batch_axes",
    "batch_shards",
    "check_divides",
    "constrain",
    "constrain_module",
    "local_rows",
    "make_mesh",
    "mesh_batch_shards",
    "module_shardings",
    "place_batch",
    "place_module",
    "process_part",
    "read_dtype",
    "rollout_copy",
    "use_mesh",
]
