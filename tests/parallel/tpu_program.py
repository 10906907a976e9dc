"""Collectives of a supervised update for a TPU slice, compiled without one.

Run for test_tpu_program.py as `python tpu_program.py OUT`, in a process of its own, for the
compiler takes no flags but its own; with tests/ on its path and libtpu installed. Writes to the
JSON file OUT the shapes that parameters have on a device, sharded over `fsdp` and not, and every
collective within the loops.
"""

import dataclasses
import functools
import json
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec
from random_model import SHALLOW

from skinflow_jax.models.inputs import empty_inputs
from skinflow_jax.models.vlm import ComputeConfig, abstract_model
from skinflow_jax.parallel import (
    ROLLOUT_RULES,
    TRAIN_RULES,
    MeshConfig,
    make_mesh,
    module_shardings,
    use_mesh,
)
from skinflow_jax.parallel.programs import compile_ahead, lines_within_loops
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
from skinflow_jax.training.state import abstract_state
from skinflow_jax.training.supervised import supervised_update

# Wide enough that the compiler shards it as it does a real one; no activation has a weight's shape.
PROMPTS, LENGTH, COMPLETION, WINDOWS = 16, 112, 48, 2
CONFIG = dataclasses.replace(
    SHALLOW,
    text=dataclasses.replace(
        SHALLOW.text,
        hidden_size=1024,
        intermediate_size=4096,
        num_layers=3,
        num_heads=8,
        num_kv_heads=4,
        mrope_section=(16, 24, 24),
        vocab_size=8192,
    ),
    vision=dataclasses.replace(SHALLOW.vision, out_hidden_size=1024),
)
COLLECTIVE = r"= \(?(\w+)\[([\d,]*)\].* (all-gather|all-reduce|reduce-scatter)(?:-start)?\("


def compiled(mesh) -> str:
    by_batch = NamedSharding(mesh, PartitionSpec(TRAIN_RULES["batch"]))
    batch = (
        empty_inputs(PROMPTS, CONFIG, length=LENGTH, windows=WINDOWS, images=1),
        jax.ShapeDtypeStruct((PROMPTS, COMPLETION), jnp.int32),
        jax.ShapeDtypeStruct((PROMPTS, COMPLETION), jnp.bool_),
    )
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=by_batch), batch)
    optimizer = make_optimizer(OptimizerConfig(), 10)
    update = functools.partial(
        supervised_update,
        optimizer=optimizer,
        compute=ComputeConfig("bfloat16", "full"),
        micro_batches=4,
    )
    state = abstract_state(abstract_model(CONFIG), optimizer, mesh)
    return compile_ahead(update, state, batch)[0].as_text()


def shapes_on_a_device(mesh) -> list[list[int]]:
    """Of parameters without their layer axis and axes of one, with and without `fsdp`."""
    model, found = abstract_model(CONFIG), set()
    for rules in (TRAIN_RULES, ROLLOUT_RULES):
        shardings = jax.tree.leaves(module_shardings(model, mesh, rules))
        for leaf, sharding in zip(jax.tree.leaves(model), shardings, strict=True):
            shape = sharding.shard_shape(leaf.shape)
            found |= {tuple(n for n in part if n > 1) for part in (shape, shape[1:])}
    return sorted(map(list, found))


def main(out: Path) -> None:
    topology = topologies.get_topology_desc(platform="tpu", topology_name="v6e:4x4")
    mesh = make_mesh(MeshConfig(data=-1, fsdp=4, tensor=4), topology.devices)
    with use_mesh(mesh):
        text = compiled(mesh)
    found = [re.search(COLLECTIVE, line) for line in lines_within_loops(text)]
    collectives = [
        {"kind": m[3], "dtype": m[1], "shape": [int(n) for n in m[2].split(",") if n not in "1"]}
        for m in found
        if m
    ]
    out.write_text(json.dumps({"weights": shapes_on_a_device(mesh), "collectives": collectives}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
