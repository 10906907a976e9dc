"""What the dynamic vision encoder costs at 7B shapes: the tower with and without it, in turn.

python benchmarks/dve_overhead.py              # counts, then time and memory on this machine
python benchmarks/dve_overhead.py --repeats=0  # counts alone, in a minute
python benchmarks/dve_overhead.py --repeats=0 --topology=v6e:2x2   # compiled for a TPU (libtpu)

One image of 448 x 448 px: 1,024 patches, forward. Layers are unrolled, because the compiler counts
a scanned layer once. The tower's FLOPs are counted by hand, two for a multiply and add; those of
DVE are the difference of what the compiler counts in the two programs.
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
from skinflow_jax.models.inputs import patch_grid_positions
from skinflow_jax.models.layers import layer
from skinflow_jax.models.rope import vision_angles
from skinflow_jax.models.vision import runs
from skinflow_jax.models.vlm import abstract_model


def forward(tower, patches, mask, positions, dtype):
    """`VisionTower.__call__` with its layers unrolled."""
    x = tower.patch_embedding(patches.astype(dtype))
    angles = vision_angles(positions, tower.config)
    for run in runs(tower.config):
        group = x.shape[1] if run.full_attention else tower.config.window_patches
        for place in range(run.start, run.stop):
            x, _ = layer(getattr(tower, run.stack), place)(x, angles, mask, group)
    return tower.merger(x)


def tower_flops(vision: VisionConfig, patches: int) -> float:
    """Of one forward pass of the static tower: matrix products alone, as published figures are."""
    d, h, merged = vision.hidden_size, vision.intermediate_size, vision.hidden_size * 4
    full = len(vision.full_attention_blocks)
    keys = full * patches + (vision.depth - full) * vision.window_patches
    blocks = vision.depth * (4 * d * d + 3 * d * h) + 2 * keys * d
    merger = merged * (merged + vision.out_hidden_size) / vision.merge_unit
    return 2 * patches * (vision.patch_dim * d + blocks + merger)


def image(vision: VisionConfig, side: int):
    """Patches, mask and positions of one square image of `side` x `side` patches."""
    rng = np.random.default_rng(0)
    positions = patch_grid_positions((side, side), vision)[None]
    patches = rng.normal(size=(1, side * side, vision.patch_dim)).astype(np.float32)
    return patches, np.ones(patches.shape[:2], bool), positions


def compiled(tower, inputs, dtype, device=None):
    """The forward program, for `device` of a topology or this machine."""
    place = None if device is None else SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), (tower, *inputs)
    )
    program = jax.jit(functools.partial(forward, dtype=jnp.dtype(dtype)))
    return program.lower(*shapes).compile()


def alternating_times(programs, arguments, repeats: int) -> list[float]:
    """Median seconds of each program, run in turn after one uncounted round."""
    times = [[] for _ in programs]
    for round_ in range(repeats + 1):
        for program, args, spent in zip(programs, arguments, times, strict=True):
            began = time.perf_counter()
            jax.block_until_ready(program(*args))
            if round_:
                spent.append(time.perf_counter() - began)
    return [statistics.median(spent) for spent in times]


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

    config = model_config(chosen.size)
    vision = dataclasses.replace(config.vision, dve=DveConfig(groups=chosen.groups))
    towers = [
        abstract_model(c).vision for c in (config, dataclasses.replace(config, vision=vision))
    ]
    device = None
    if chosen.topology:
        described = topologies.get_topology_desc(platform="tpu", topology_name=chosen.topology)
        device = described.devices[0]
    inputs = image(config.vision, chosen.side)
    programs = [compiled(tower, inputs, chosen.dtype, device) for tower in towers]

    sizes = [sum(x.size for x in jax.tree.leaves(tower)) for tower in towers]
    counted = [program.cost_analysis()["flops"] for program in programs]
    analytic = tower_flops(config.vision, chosen.side**2)
    temporary = [program.memory_analysis().temp_size_in_bytes for program in programs]
    rows = [
        ("parameters, millions", [size / 1e6 for size in sizes]),
        ("compiler's count, GFLOP", [flops / 1e9 for flops in counted]),
        ("temporary memory, MiB", [size / 2**20 for size in temporary]),
    ]
    if chosen.repeats:
        model = jax.jit(lambda: jax.tree.map(lambda x: jnp.full(x.shape, 0.01), towers[0]))()
        static = dataclasses.replace(config, name="tower")
        whole = abstract_model(static)
        whole.vision = model
        dynamic = with_dve(whole, DveConfig(groups=chosen.groups)).vision
        arguments = [(tower, *inputs) for tower in (model, dynamic)]
        rows.append(("seconds, median", alternating_times(programs, arguments, chosen.repeats)))

    table = Table(title=f"{chosen.size} tower, {chosen.side**2:,} patches, {chosen.dtype}")
    for title in ("", "static", "with DVE", "ratio"):
        table.add_column(title, justify="right" if title else "left")
    for name, (one, other) in rows:
        table.add_row(name, f"{one:,.2f}", f"{other:,.2f}", f"{other / one:.3f}")
    console = Console()
    console.print(table)
    extra = counted[1] - counted[0]
    console.print(
        f"DVE: {extra / 1e9:.1f} GFLOP, {extra / analytic:.1%} of the tower's "
        f"{analytic / 1e9:,.0f} (analytic); parameters +{sizes[1] / sizes[0] - 1:.2%}; "
        f"{chosen.repeats} timed rounds; for {chosen.topology or jax.devices()[0].device_kind}"
    )


if __name__ == "__main__":
    main()
