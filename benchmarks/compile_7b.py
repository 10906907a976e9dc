"""Does a GRPO step of the 7B model with DVE fit 16 chips? Compiled ahead of time, without any.

TPU_SKIP_MDS_QUERY=1 JAX_PLATFORMS=cpu python benchmarks/compile_7b.py --topology=v6e:4x4
TPU_SKIP_MDS_QUERY=1 JAX_PLATFORMS=cpu python benchmarks/compile_7b.py --topology=v5p:2x2x4

Needs libtpu (requirements-tpu.txt), no TPU. Full training, AdamW in float32, bfloat16 activations.
The programs are those of `GrpoLearner.step`, compiled in the order of a step, each for the layouts
that the one before it gives. Bytes are the compiler's own, per chip.
"""

import argparse
import dataclasses
import re
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec
from rich.console import Console
from rich.table import Table

from skinflow_jax.models.config import DveConfig, model_config
from skinflow_jax.models.inputs import empty_inputs
from skinflow_jax.models.vlm import ComputeConfig, abstract_model
from skinflow_jax.parallel import TRAIN_RULES, MeshConfig, make_mesh, use_mesh
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.rl.sampler import decode, prefill_prompts, rollout_weights
from skinflow_jax.rl.update import PolicyBatch, policy_update
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
from skinflow_jax.training.state import abstract_state

# GiB a chip, as the makers state them, of which the runtime keeps a little.
CAPACITY = {"v6e": 32e9, "v5p": 95e9}


@dataclass(frozen=True)
class Program:
    """A compiled program: seconds to compile, bytes a chip, and its text."""

    name: str
    seconds: float
    arguments: int
    outputs: int
    temporary: int
    aliased: int
    text: str

    @property
    def beside_arguments(self) -> int:
        """Bytes that come to those of the arguments while it runs."""
        return self.outputs - self.aliased + self.temporary


def compiled(name: str, function, *arguments, **static):
    """(the program, its outputs as shapes)."""
    began = time.perf_counter()
    lowered = function.lower(*arguments, **static)
    program = lowered.compile()
    seconds, memory = time.perf_counter() - began, program.memory_analysis()
    outputs = jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        lowered.out_info,
        program.output_shardings,
    )
    return Program(
        name,
        seconds,
        memory.argument_size_in_bytes,
        memory.output_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.alias_size_in_bytes,
        program.as_text(),
    ), outputs


def bytes_per_chip(tree) -> int:
    """Of arrays by their shardings."""
    return sum(
        leaf.dtype.itemsize * int(jnp.prod(jnp.array(leaf.sharding.shard_shape(leaf.shape))))
        for leaf in jax.tree.leaves(tree)
    )


def gathers_in_loops(text: str) -> list[str]:
    """Result types of the all-gathers in computations that while loops reach."""
    computations, name = {}, None
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith(" "):
            name = line.removeprefix("ENTRY ").split(" ")[0].lstrip("%")
            computations[name] = []
        elif name:
            computations[name].append(line)
    called = re.compile(r"(?:body|condition|calls|to_apply)=%?([\w.\-]+)")
    pending = [
        found
        for lines in computations.values()
        for line in lines
        if " while(" in line
        for found in called.findall(line)
    ]
    seen: set[str] = set()
    gathers = []
    while pending:
        name = pending.pop()
        if name in seen or name not in computations:
            continue
        seen.add(name)
        for line in computations[name]:
            pending += called.findall(line)
            if re.search(r" all-gather(-start)?\(", line):
                gathers.append(line.split(" = ", 1)[1].split(" all-gather")[0])
    return gathers


def step_programs(chosen) -> tuple[list[Program], int, int]:
    """(programs of a step, bytes of the train state, bytes of the rollout copy), per chip."""
    topology = topologies.get_topology_desc(platform="tpu", topology_name=chosen.topology)
    mesh = make_mesh(MeshConfig(-1, chosen.fsdp, chosen.tensor), devices=topology.devices)
    sizes = model_config("qwen2_5_vl_7b")
    dve = DveConfig(groups=640)
    sizes = dataclasses.replace(sizes, vision=dataclasses.replace(sizes.vision, dve=dve))
    compute = ComputeConfig("bfloat16", "full")
    optimizer = make_optimizer(OptimizerConfig(), 100)
    settings = GrpoConfig(
        group_size=8,
        max_tokens=chosen.completion,
        rewards=("caption",),
        compactions=chosen.compactions,
        loss=PolicyLossConfig(),
    )
    by_batch = NamedSharding(mesh, PartitionSpec(TRAIN_RULES["batch"]))
    whole = NamedSharding(mesh, PartitionSpec())

    def placed(tree, sharding):
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    inputs = placed(
        empty_inputs(chosen.prompts, sizes, length=chosen.prompt, windows=64, images=1), by_batch
    )
    rows = jax.ShapeDtypeStruct((chosen.prompts,), jnp.int32, sharding=by_batch)
    key = placed(jax.eval_shape(lambda: jax.random.key(0)), whole)
    advantages = jax.ShapeDtypeStruct((chosen.prompts, 8), jnp.float32, sharding=by_batch)
    programs = []
    with use_mesh(mesh):
        state = abstract_state(abstract_model(sizes), optimizer, mesh)
        copy, weights = compiled("rollout copy", rollout_weights, state.model, compute)
        prefill, prefix = compiled("prefill", prefill_prompts, weights, inputs, compute)
        decoding, rollout = compiled(
            "decode",
            decode,
            weights,
            prefix,
            key,
            rows,
            settings.sampling,
            group_size=8,
            max_tokens=settings.max_tokens,
            compactions=settings.compactions,
        )
        update, _ = compiled(
            "update",
            policy_update,
            state,
            PolicyBatch(inputs, rollout, advantages),
            optimizer=optimizer,
            config=settings,
            compute=compute,
            micro_batches=chosen.micro_batches,
        )
        programs = [copy, prefill, decoding, update]
    return programs, bytes_per_chip(state), bytes_per_chip(weights)


def main() -> None:
    """Print the table and what it means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topology", default="v6e:4x4")
    parser.add_argument("--fsdp", type=int, default=4)
    parser.add_argument("--tensor", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=16, help="a step, over all chips")
    parser.add_argument("--prompt", type=int, default=1024, help="tokens")
    parser.add_argument("--completion", type=int, default=512, help="tokens")
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--compactions", type=int, default=GrpoConfig().compactions)
    chosen = parser.parse_args()
    programs, state, weights = step_programs(chosen)

    table = Table(title=f"7B with DVE on {chosen.topology}, GB a chip")
    for title in ("program", "compile s", "arguments", "outputs", "temporary", "aliased", "peak"):
        table.add_column(title, justify="left" if title == "program" else "right")
    console, peaks = Console(), []
    for program in programs:
        # The train state stays on the chip during the rollout, and so does the rollout copy.
        resident = {"rollout copy": 0, "update": weights}.get(program.name, state)
        peaks.append(resident + program.arguments + program.beside_arguments)
        sizes = (program.arguments, program.outputs, program.temporary, program.aliased, peaks[-1])
        table.add_row(
            program.name, f"{program.seconds:.0f}", *(f"{size / 1e9:.2f}" for size in sizes)
        )
    console.print(table)
    capacity = CAPACITY.get(chosen.topology.split(":")[0])
    console.print(
        f"train state {state / 1e9:.2f} GB, rollout copy {weights / 1e9:.2f} GB, both counted in "
        f"every peak; rollout compiled in {sum(p.seconds for p in programs[:3]):.0f} s, update in "
        f"{programs[3].seconds:.0f} s"
    )
    if capacity:
        fits = "fits" if max(peaks) < capacity else "does not fit"
        console.print(f"peak {max(peaks) / 1e9:.2f} GB {fits} {capacity / 1e9:.0f} GB a chip")
    gathers = gathers_in_loops(programs[2].text)
    console.print(
        f"all-gathers inside the decode loop: {len(gathers)}"
        + (f", of {', '.join(sorted(set(gathers)))}" if gathers else "")
    )


if __name__ == "__main__":
    main()
