"""What the dynamic vision encoder costs at 7B shapes: the tower with and without it.

python benchmarks/dve_overhead.py              # counts, then time and memory on this machine
python benchmarks/dve_overhead.py --repeats=0  # counts alone, in a minute
python benchmarks/dve_overhead.py --repeats=0 --topology=v6e:2x2   # compiled for a TPU (libtpu)

One image of 448 x 448 px: 1,024 patches, forward. The tower's FLOPs are counted by hand, two for a
multiply and add; those of DVE are what the compiler counts more in a dynamic block than in a
static one, times the dynamic blocks (of a scanned layer it would count one).
"""

import argparse
import dataclasses
import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
from rich.console import Console
from rich.table import Table

from skinflow_jax.models.config import DveConfig, VisionConfig, model_config
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.flops import vision_flops
from skinflow_jax.models.inputs import patch_grid_positions
from skinflow_jax.models.layers import layer, parameter_count
from skinflow_jax.models.rope import vision_rotation
from skinflow_jax.models.vision import abstract_tower
from skinflow_jax.models.vlm import abstract_model


def block_flops(vision: VisionConfig, side: int, dtype, device=None) -> float:
    """What the compiler counts in one full-attention block, dynamic if `vision` says so."""
    place = None if device is None else SingleDeviceSharding(device)
    tower = abstract_tower(vision)
    blocks = tower.full if vision.dve is None else tower.dynamic
    _, mask, positions = image(vision, side)
    rotation = jax.eval_shape(functools.partial(vision_rotation, config=vision), positions)
    x = jax.ShapeDtypeStruct((1, side * side, vision.hidden_size), dtype)
    block = jax.eval_shape(lambda stack: layer(stack, 0), blocks)
    arguments = (block, x, rotation, mask)
    shapes = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), arguments
    )
    program = jax.jit(lambda block, x, rotation, mask: block(x, rotation, mask, x.shape[1])[0])
    return program.lower(*shapes).compile().cost_analysis()["flops"]


def image(vision: VisionConfig, side: int):
    """Patches, mask and positions of one square image of `side` x `side` patches."""
    rng = np.random.default_rng(0)
    positions = patch_grid_positions((side, side), vision)[None]
    patches = rng.normal(size=(1, side * side, vision.patch_dim)).astype(np.float32)
    return patches, np.ones(patches.shape[:2], bool), positions


def towers_in_turn(config, dve: DveConfig, side: int, dtype, repeats: int):
    """(temporary bytes, median seconds) of both towers, run in turn after an uncounted round."""
    model = abstract_model(config)
    model.vision = jax.jit(lambda: jax.tree.map(lambda x: jnp.full(x.shape, 0.01), model.vision))()
    towers = [model.vision, with_dve(model, dve).vision]
    inputs = tuple(map(jnp.asarray, image(config.vision, side)))
    run = jax.jit(lambda tower, *inputs: tower(*inputs, dtype=dtype))
    programs = [run.lower(tower, *inputs).compile() for tower in towers]
    times = [[], []]
    for round_ in range(repeats + 1):
        for program, tower, spent in zip(programs, towers, times, strict=True):
            began = time.perf_counter()
            jax.block_until_ready(program(tower, *inputs))
            if round_:
                spent.append(time.perf_counter() - began)
    memory = [program.memory_analysis().temp_size_in_bytes for program in programs]
    return memory, [statistics.median(spent) for spent in times]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="qwen2_5_vl_7b", help="model whose tower is taken")
    parser.add_argument("--side", type=int, default=32, help="patches along a side of the image")
    parser.add_argument("--groups", type=int, default=640)
    parser.add_argument("--dtype", default="float32", help="of activations")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds; 0 for counts alone")
    parser.add_argument("--topology", help="compile for this TPU instead, such as v6e:2x2")
    chosen = parser.parse_args()
    if chosen.topology and chosen.repeats:
        parser.error("a program for another machine cannot be timed here: add --repeats=0")

    config, dve = model_config(chosen.size), DveConfig(groups=chosen.groups)
    vision = dataclasses.replace(config.vision, dve=dve)
    dtype, device = jnp.dtype(chosen.dtype), None
    if chosen.topology:
        device = topologies.get_topology_desc(
            platform="tpu", topology_name=chosen.topology
        ).devices[0]
    counted = [block_flops(v, chosen.side, dtype, device) for v in (config.vision, vision)]
    sizes = [parameter_count(abstract_tower(v)) for v in (config.vision, vision)]
    rows = [
        ("parameters of the tower, millions", [size / 1e6 for size in sizes]),
        ("compiler's count of a block, GFLOP", [flops / 1e9 for flops in counted]),
    ]
    if chosen.repeats:
        memory, seconds = towers_in_turn(config, dve, chosen.side, dtype, chosen.repeats)
        rows.append(("temporary memory, MiB", [size / 2**20 for size in memory]))
        rows.append((f"seconds, median of {chosen.repeats}", seconds))

    table = Table(title=f"{chosen.size} tower, {chosen.side**2:,} patches, {chosen.dtype}")
    for title in ("", "static", "with DVE", "ratio"):
        table.add_column(title, justify="right" if title else "left")
    for name, (one, other) in rows:
        table.add_row(name, f"{one:,.2f}", f"{other:,.2f}", f"{other / one:.3f}")
    console = Console()
    console.print(table)
    extra = (counted[1] - counted[0]) * len(vision.dynamic_blocks)
    analytic = vision_flops(config.vision, np.array([chosen.side**2]))
    console.print(
        f"DVE: {extra / 1e9:.1f} GFLOP in {len(vision.dynamic_blocks)} blocks, "
        f"{extra / analytic:.1%} of the tower's {analytic / 1e9:,.0f} (analytic); parameters "
        f"+{sizes[1] / sizes[0] - 1:.2%}; for {chosen.topology or jax.devices()[0].device_kind}"
    )


if __name__ == "__main__":
    main()
