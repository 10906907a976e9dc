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

import numpy as np  # noqa: E402
from random_model import SHALLOW, listening, spread_model  # noqa: E402

from skinflow_jax.checkpoints.hf_adapter import load_adapter  # noqa: E402
from skinflow_jax.checkpoints.hf_import import load_pretrained  # noqa: E402
from skinflow_jax.checkpoints.hf_safetensors import StoredTensor  # noqa: E402
from skinflow_jax.errors import InputError  # noqa: E402
from skinflow_jax.models.config import LoraConfig  # noqa: E402
from skinflow_jax.models.lora import with_lora  # noqa: E402
from skinflow_jax.parallel import MeshConfig, make_mesh  # noqa: E402

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
    load_adapter(jax.tree.map(lambda x: x * 2, model), adapter, mesh=mesh)
    raise AssertionError("loaded upon other weights")
except InputError as error:
    assert "trained upon other weights" in str(error), error
