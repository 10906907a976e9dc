"""One of two processes that read a Hugging Face folder onto one mesh; for test_hf_two_processes.py.

Run as `python hf_two_processes.py INDEX PORT FOLDER BROKEN ADAPTER`, with tests/ on its path.
"""

import sys
from pathlib import Path

import jax

index, port = int(sys.argv[1]), sys.argv[2]
folder, broken, adapter = map(Path, sys.argv[3:])
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", 2, index)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from random_model import SHALLOW, listening, spread_model  # noqa: E402

from skinflow_jax.checkpoints.hf_adapter import load_adapter  # noqa: E402
from skinflow_jax.checkpoints.hf_import import load_pretrained  # noqa: E402
from skinflow_jax.checkpoints.hf_safetensors import StoredTensor  # noqa: E402
from skinflow_jax.checkpoints.run_state import RunCheckpoints, load_model  # noqa: E402
from skinflow_jax.errors import InputError  # noqa: E402
from skinflow_jax.models.config import LoraConfig  # noqa: E402
from skinflow_jax.models.lora import with_lora  # noqa: E402
from skinflow_jax.models.vlm import init_model  # noqa: E402
from skinflow_jax.parallel import MeshConfig, as_read, make_mesh, place_module  # noqa: E402
from skinflow_jax.training.state import TrainState  # noqa: E402

read, StoredTensor_read = [0], StoredTensor.read


def counted(self, view, region):
    found = StoredTensor_read(self, view, region)
    read[0] += found.nbytes
    return found


def assert_parts_of(model, expected):
    for ours, theirs in zip(jax.tree.leaves(model), jax.tree.leaves(expected), strict=True):
        for shard in ours.addressable_shards:
            np.testing.assert_array_equal(shard.data, theirs[shard.index])


StoredTensor.read = counted
expected = jax.tree.map(np.asarray, spread_model(SHALLOW))
whole = sum(x.nbytes for x in jax.tree.leaves(expected))
mesh = make_mesh(MeshConfig(fsdp=4))
model = load_pretrained(folder, mesh=mesh)
assert_parts_of(model, expected)
assert whole / 2 < read[0] < 0.6 * whole, (read, whole)
# The last column of the embedding is not finite: only the second process reads it.
try:
    load_pretrained(broken, mesh=mesh)
    raise AssertionError("loaded what is not finite")
except InputError as error:
    assert "embed_tokens" in str(error), error
    assert ("(process 1)" in str(error)) == (index == 0), (index, error)
adapted = listening(with_lora(spread_model(SHALLOW), LoraConfig(rank=4)))
assert_parts_of(load_adapter(model, adapter, mesh=mesh), jax.tree.map(np.asarray, adapted))
try:
    twice = jax.jit(lambda model: jax.tree.map(lambda x: x * 2, model))
    load_adapter(twice(model), adapter, mesh=mesh)
    raise AssertionError("loaded upon other weights")
except InputError as error:
    assert "trained upon other weights" in str(error), error
# Made where they stay, the weights are those of one device; a run's are read in another type.
drawn = init_model(SHALLOW, seed=5, mesh=mesh)
assert_parts_of(drawn, jax.tree.map(np.asarray, init_model(SHALLOW, seed=5)))
with RunCheckpoints(folder.parent / "run") as checkpoints:
    state = place_module(TrainState(jnp.int32(1), model, ()), mesh)
    checkpoints.save(1, state, facts={}, wait=True)
read_in = load_model(folder.parent / "run", mesh=mesh, dtype="bfloat16")
assert_parts_of(read_in, jax.tree.map(np.asarray, as_read(spread_model(SHALLOW), "bfloat16")))
