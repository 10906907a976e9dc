"""Does a GRPO step of the 7B config fit 16 chips? Compiled ahead of time, without any.

TPU_SKIP_MDS_QUERY=1 JAX_PLATFORMS=cpu python benchmarks/compile_7b.py --topology=v6e:4x4
TPU_SKIP_MDS_QUERY=1 JAX_PLATFORMS=cpu python benchmarks/compile_7b.py --topology=v5p:2x2x4

Needs libtpu (requirements-tpu.txt), no TPU. The config is configs/skinflow_7b_stage1.py unless
--config names another; the programs are those of `GrpoLearner.step` for its largest batch, compiled
in the order of a step, each for the layouts that the one before it gives. Bytes are the compiler's
own, per chip.
"""

import argparse
import dataclasses
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec
from rich.console import Console
from rich.table import Table

from skinflow_jax.config import RunConfig, load_config
from skinflow_jax.models.config import model_config
from skinflow_jax.models.inputs import empty_inputs
from skinflow_jax.models.vlm import abstract_model
from skinflow_jax.parallel import TRAIN_RULES, make_mesh, use_mesh
from skinflow_jax.parallel.programs import compile_ahead, lines_within_loops
from skinflow_jax.rl.sampler import begin_decoding, decode_chunk, prefill_prompts, rollout_weights
from skinflow_jax.rl.update import PolicyBatch, fixed_log_probs, policy_update
from skinflow_jax.training.memory_table import abstract_copy
from skinflow_jax.training.optimizer import make_optimizer
from skinflow_jax.training.state import abstract_state

# Bytes a chip, as the maker states them, of which the runtime keeps a little.
CAPACITY = {"v6e": 32e9, "v5p": 95e9}


@dataclass(frozen=True)
class Program:
    """A compiled program: seconds to compile, bytes a chip, the all-gathers within its loops."""

    name: str
    seconds: float
    arguments: int
    outputs: int
    temporary: int
    aliased: int
    gathers: list[str]

    @property
    def bytes(self) -> int:
        """What a chip holds while it runs."""
        return self.arguments + self.outputs - self.aliased + self.temporary


def measured(name: str, function, *arguments, **static) -> tuple[Program, Any]:
    """(the program, its outputs as shapes)."""
    began = time.perf_counter()
    program, outputs = compile_ahead(function, *arguments, **static)
    seconds, memory = time.perf_counter() - began, program.memory_analysis()
    lines = lines_within_loops(program.as_text())
    gathers = [described(line) for line in lines if re.search(r" all-gather(-start)?\(", line)]
    return Program(
        name,
        seconds,
        memory.argument_size_in_bytes,
        memory.output_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.alias_size_in_bytes,
        gathers,
    ), outputs


def described(line: str) -> str:
    """What an instruction gives, and the operation that it came from."""
    result = line.partition(" = ")[2].partition("{")[0]
    operation = re.search(r'op_name="([^"]*)"', line)
    return f"{result} of {operation[1] if operation else line}"


def bytes_per_chip(tree) -> int:
    """Of arrays by their shardings."""
    return sum(
        leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape))
        for leaf in jax.tree.leaves(tree)
    )


def step_programs(config: RunConfig, topology: str) -> Iterator[tuple[Program, int]]:
    """The programs of a step, each with the bytes a chip that it holds besides its own.

    The train state and a KL's reference stay on the chip during the rollout, and so does the
    rollout copy.
    """
    devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    mesh, settings, compute = make_mesh(config.mesh, devices), config.rl, config.model.compute
    sizes = model_config("qwen2_5_vl_7b")
    sizes = dataclasses.replace(
        sizes, vision=dataclasses.replace(sizes.vision, dve=config.model.dve)
    )
    optimizer = make_optimizer(config.optimizer, config.loop.steps)
    by_batch = NamedSharding(mesh, PartitionSpec(TRAIN_RULES["batch"]))
    whole = NamedSharding(mesh, PartitionSpec())

    def placed(tree, sharding=by_batch):
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    prompts = config.batch_size
    inputs = placed(
        empty_inputs(
            prompts,
            sizes,
            length=max(config.data.prompt_lengths),
            windows=max(config.data.windows),
            images=1,
        )
    )
    rows = placed(jax.ShapeDtypeStruct((prompts,), jnp.int32))
    key = placed(jax.eval_shape(lambda: jax.random.key(0)), whole)
    advantages = placed(jax.ShapeDtypeStruct((prompts, settings.group_size), jnp.float32))
    with use_mesh(mesh):
        state = abstract_state(abstract_model(sizes), optimizer, mesh)
        kept = abstract_copy(state.model, compute.dtype, mesh)
        reference = bytes_per_chip(kept) if settings.needs_reference else 0
        program, weights = measured("rollout copy", rollout_weights, state.model, compute)
        # Its argument, the model, is a part of the train state.
        copied = bytes_per_chip(weights)
        yield program, bytes_per_chip(state.opt_state) + reference
        program, prefix = measured("prefill", prefill_prompts, weights, inputs, compute)
        yield program, bytes_per_chip(state) + reference
        program, decoding = measured(
            "empty cache",
            begin_decoding,
            *(weights, prefix, key, rows),
            group_size=settings.group_size,
            max_tokens=settings.max_tokens,
        )
        yield program, bytes_per_chip(state) + reference
        until = jax.ShapeDtypeStruct((), jnp.int32)
        program, (decoding, _) = measured(
            "decoding",
            decode_chunk,
            *(weights, decoding, settings.sampling, placed(until, whole)),
            compactions=settings.compactions,
        )
        rollout = decoding.out
        yield program, bytes_per_chip(state) + reference
        fixed = None
        if reference:
            program, fixed = measured(
                "reference",
                fixed_log_probs,
                *(kept, inputs, rollout),
                temperature=settings.temperature,
                compute=compute,
                micro_batches=config.micro_batches * settings.mini_batches,
            )
            yield program, bytes_per_chip(state) + copied
        program, _ = measured(
            "update",
            policy_update,
            state,
            PolicyBatch(inputs, rollout, advantages, reference=fixed),
            optimizer=optimizer,
            config=settings,
            compute=compute,
            micro_batches=config.micro_batches,
        )
        yield program, copied + reference


def main() -> None:
    """Print the table and what it means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topology", default="v6e:4x4")
    parser.add_argument("--config", default="configs/skinflow_7b_stage1.py")
    chosen = parser.parse_args()
    config = load_config(chosen.config)
    table = Table(title=f"{chosen.config} on {chosen.topology}, GB a chip")
    for title in ("program", "compile s", "arguments", "outputs", "temporary", "aliased", "peak"):
        table.add_column(title, justify="left" if title == "program" else "right")
    console, peaks, programs = Console(), [], {}
    for program, beside in step_programs(config, chosen.topology):
        programs[program.name] = program
        peaks.append(beside + program.bytes)
        sizes = (program.arguments, program.outputs, program.temporary, program.aliased, peaks[-1])
        figures = [f"{program.seconds:.0f}", *(f"{size / 1e9:.2f}" for size in sizes)]
        table.add_row(program.name, *figures)
        console.log(f"{program.name}: compiled in {figures[0]} s, peak {figures[-1]} GB")
    console.print(table)
    rollout = sum(programs[name].seconds for name in ("rollout copy", "prefill", "decoding"))
    console.print(
        "Weights, optimizer, rollout copy and reference are counted in every peak. Compiled: "
        f"rollout in {rollout:.0f} s, update in {programs['update'].seconds:.0f} s."
    )
    capacity = CAPACITY.get(chosen.topology.split(":")[0])
    if capacity:
        fits = "fits" if max(peaks) < capacity else "does not fit"
        console.print(f"Peak {max(peaks) / 1e9:.2f} GB {fits} {capacity / 1e9:.0f} GB a chip.")
    gathers = programs["decoding"].gathers
    console.print(
        f"All-gathers inside the decode loop: {', '.join(gathers) or 'none'}",
        markup=False,
    )


if __name__ == "__main__":
    main()
