"""The training program on one device and on meshes of eight, for test_meshes.py to compare.

Run as `python mesh_program.py OUT` in a process of its own with eight CPU devices and tests/ on
its path; it writes OUT/arrays.npz, OUT/layouts.json and a compiled sampler. One process does
all meshes: most of the time is start-up and compiling.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from random_model import SHALLOW, copied, listening, random_inputs, spread_model

from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.checkpoints.run_state import RunCheckpoints, load_model
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.lora import with_lora
from skinflow_jax.models.vlm import DEFAULT_COMPUTE
from skinflow_jax.parallel import MeshConfig, make_mesh, place_batch, place_module, use_mesh
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.rl.sampler import (
    begin_decoding,
    decode,
    decode_chunk,
    prefill_prompts,
    rollout_weights,
)
from skinflow_jax.rl.token_choice import make_sampling
from skinflow_jax.rl.update import PolicyBatch, fixed_log_probs, policy_update, score_rollout
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
from skinflow_jax.training.state import TrainState, apply_gradients, create_state
from skinflow_jax.training.supervised import supervised_update

# Name: mesh (None for one device), algorithms. Each update takes long to compile.
RUNS = {
    "one": (None, ("dapo", "sft", "lora")),
    "data_2_fsdp_4": (MeshConfig(data=2, fsdp=4), ("dapo", "sft")),
    "fsdp_2_tensor_4": (MeshConfig(data=1, fsdp=2, tensor=4), ("dapo", "lora")),
}
# Whose compiled sampler is looked at.
DECODES_ON = "data_2_fsdp_4"
# One block of the tower is dynamic, so that both kinds run. Four key heads, so that tensor=4
# splits them; many end tokens, so that lengths are uneven.
CONFIG = dataclasses.replace(
    SHALLOW,
    vision=dataclasses.replace(SHALLOW.vision, dve=DveConfig(groups=7)),
    text=dataclasses.replace(SHALLOW.text, num_heads=8, num_kv_heads=4, mrope_section=(2, 3, 3)),
    eos_token_ids=tuple(range(0, 1024, 8)),
)
LORA = LoraConfig(rank=2, alpha=2.0, vision=True)
GRIDS = [(4, 4), (6, 10), (2, 6), (8, 8), (10, 2), (4, 8), (6, 6), (12, 4)]
GROUP, LENGTH, TEMPERATURE = 2, 6, 0.9
# A momentum of zero leaves the gradient itself in the optimizer's state.
SGD = optax.sgd(0.1, momentum=0.0)
ADAMW = make_optimizer(OptimizerConfig(learning_rate=1e-2, warmup_steps=1, weight_decay=0.1), 9)


def grpo_config(loss_type):
    return GrpoConfig(
        group_size=GROUP,
        max_tokens=LENGTH,
        temperature=TEMPERATURE,
        rewards=("caption",),
        loss=PolicyLossConfig(loss_type=loss_type, kl_coef=0.3),
    )


def inputs_and_targets():
    inputs = random_inputs([[grid] for grid in GRIDS], CONFIG, length=32, windows=4)
    rng = np.random.default_rng(4)
    targets = rng.integers(10, 1000, (len(GRIDS), LENGTH)).astype(np.int32)
    mask = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, len(GRIDS))[:, None]
    rewards = rng.uniform(size=(len(GRIDS), GROUP, 1)).astype(np.float32)
    return inputs, (inputs, targets, mask), rewards


def draw(model, inputs, mesh, hlo=None):
    """The rollout; `hlo` receives the compiled sampler: weights, prompts, a chunk of two."""
    lengths = {"group_size": GROUP, "max_tokens": LENGTH}
    inputs, rows = place_batch((inputs, np.arange(len(GRIDS))), mesh)
    key, sampling, chunk = jax.random.key(3), make_sampling(TEMPERATURE), LENGTH // 2
    model = place_module(model, mesh)
    weights = rollout_weights(model)
    prefix = prefill_prompts(weights, inputs)
    if hlo is not None:
        decoding = begin_decoding(weights, prefix, key, rows, **lengths)
        programs = [
            rollout_weights.lower(model),
            prefill_prompts.lower(weights, inputs),
            decode_chunk.lower(weights, decoding, sampling, jnp.int32(chunk), compactions=1),
        ]
        hlo.write_text("\n".join(program.compile().as_text() for program in programs))
    return decode(weights, prefix, key, rows, sampling, **lengths, compactions=1, chunk=chunk)


def updates(mesh, model, reference, rollout, algorithms):
    """(name, new state, metrics) of each algorithm, from the same rollout and rewards."""
    inputs, supervised, rewards = inputs_and_targets()
    static = {"optimizer": SGD, "compute": DEFAULT_COMPUTE, "micro_batches": 1}
    reference = place_module(reference, mesh)
    for name in algorithms:
        # All algorithms but this train the whole model.
        start = listening(with_lora(model, LORA)) if name == "lora" else model
        state = create_state(copied(start), SGD, mesh)
        if name in ("sft", "lora"):
            yield name, *supervised_update(state, place_batch(supervised, mesh), **static)
        else:
            config = grpo_config(name)
            inputs, rollout, rewards = place_batch((inputs, rollout, rewards), mesh)
            scores = score_rollout(rewards, rollout.terminated, config=config, names=("caption",))
            reference_log_probs = fixed_log_probs(
                reference,
                inputs,
                rollout,
                temperature=TEMPERATURE,
                compute=DEFAULT_COMPUTE,
                micro_batches=1,
            )
            batch = PolicyBatch(inputs, rollout, scores.advantages, None, reference_log_probs)
            state, metrics = policy_update(state, batch, config=config, **static)
            yield name, state, metrics | scores.metrics | {"advantages": scores.advantages}


def adamw_steps(model, mesh):
    """Two steps with gradients that are the same everywhere."""
    rng = np.random.default_rng(8)
    gradients = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), model)
    state = create_state(copied(model), ADAMW, mesh)
    step = jax.jit(lambda state, gradients: apply_gradients(state, gradients, ADAMW))
    return step(step(state, gradients), gradients)


def layout(tree):
    """Shape, logical axes and shape of the part on one device, of each parameter."""
    leaves = jax.tree_util.tree_leaves_with_path(
        tree, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)
    )
    return {
        jax.tree_util.keystr(path): {
            "axes": list(leaf.axes),
            "shape": list(leaf.shape),
            "part": list(leaf.get_value().sharding.shard_shape(leaf.shape)),
        }
        for path, leaf in leaves
    }


def main(out: Path) -> None:
    began = time.perf_counter()
    arrays, layouts = {}, {}
    model, reference = spread_model(CONFIG), spread_model(CONFIG, seed=1)
    inputs, *_ = inputs_and_targets()
    rollout = None

    def record(run, kind, tree):
        for path, x in jax.tree_util.tree_leaves_with_path(tree):
            arrays[f"{run}:{kind}:{jax.tree_util.keystr(path)}"] = np.asarray(x)

    record("one", "before", model)
    save_pretrained(model, out / "imported")
    with RunCheckpoints(out / "restored") as checkpoints:
        checkpoints.save(1, TrainState(jnp.int32(1), model, ()), facts={})
    for run, (mesh_config, algorithms) in RUNS.items():
        mesh = None if mesh_config is None else make_mesh(mesh_config)
        with use_mesh(mesh):
            hlo = out / f"{run}.hlo" if run == DECODES_ON else None
            drawn = draw(model, inputs, mesh, hlo)
            record(run, "rollout", vars(drawn))
            record(run, "adamw", adamw_steps(model, mesh).model)
            if rollout is None:
                rollout = jax.tree.map(np.asarray, drawn)
            print(f"{run} sample: {time.perf_counter() - began:.0f} s", flush=True)
            state = create_state(copied(model), SGD, mesh)
            layouts[run] = {"created": layout(state.model)}
            reads = {"imported": load_pretrained, "restored": load_model}
            for name, read in reads.items() if mesh is not None else ():
                loaded = read(out / name, mesh=mesh)
                record(run, name, loaded)
                layouts[run][name] = layout(loaded)
            for name, state, metrics in updates(mesh, model, reference, rollout, algorithms):
                print(f"{run} {name}: {time.perf_counter() - began:.0f} s", flush=True)
                record(run, f"{name}/metrics", metrics)
                record(run, f"{name}/gradients", state.opt_state[0].trace)
                record(run, f"{name}/parameters", state.model)
                layouts[run][name] = layout(state.model)
    np.savez(out / "arrays.npz", **arrays)
    (out / "layouts.json").write_text(json.dumps(layouts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
