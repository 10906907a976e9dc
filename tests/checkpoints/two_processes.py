"""One of two processes that share a run's checkpoints; for test_two_processes.py.

Run as `python two_processes.py INDEX PORT FOLDER`, with tests/ on its path.
"""

import dataclasses
import os
import sys
from pathlib import Path

import jax

index, port, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", 2, index)

import numpy as np  # noqa: E402
from jax.experimental import multihost_utils  # noqa: E402
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402
from small_state import files_of, small_state  # noqa: E402

from skinflow_jax.checkpoints.run_state import RunCheckpoints  # noqa: E402
from skinflow_jax.errors import RunError  # noqa: E402

mesh = Mesh(np.array(jax.devices()), ("x",))


def laid_out(x):
    spec = PartitionSpec("x") if x.ndim else PartitionSpec()
    return NamedSharding(mesh, spec)


def spread(state):
    """Split over the devices of both processes."""

    def place(x):
        return jax.make_array_from_callback(x.shape, laid_out(x), lambda part: np.asarray(x)[part])

    return jax.tree.map(place, state)


def assert_is(state, step):
    for ours, whole in zip(jax.tree.leaves(state), jax.tree.leaves(small_state(step)), strict=True):
        for shard in ours.addressable_shards:
            np.testing.assert_array_equal(shard.data, np.asarray(whole)[shard.index])


said = []
with RunCheckpoints(folder, say=said.append) as checkpoints:
    assert checkpoints.latest_step is None
    for step in (1, 2, 3):
        checkpoints.save(step, spread(small_state(step)), facts={"seed": 7})
    broken = small_state(4)
    kernel = broken.model.kernel.at[15, 0].set(np.nan)  # on the last device alone
    broken = dataclasses.replace(broken, model=dataclasses.replace(broken.model, kernel=kernel))
    try:
        checkpoints.save(4, spread(broken), facts={})
        raise AssertionError("saved what is not finite")
    except RunError as error:
        assert "model/kernel" in str(error)
    checkpoints.wait()
multihost_utils.sync_global_devices("saved")
if index == 0:
    assert sorted(p.name for p in folder.iterdir()) == ["2", "3"]
    os.truncate(max(files_of(folder / "3"), key=lambda p: p.stat().st_size), 50)
    (folder / "9").mkdir()
multihost_utils.sync_global_devices("damaged")
layout = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=laid_out(x)), small_state(0)
)
with RunCheckpoints(folder, say=said.append) as checkpoints:
    state, facts, step = checkpoints.restore(layout)
    assert step == 2 and facts["seed"] == 7 and len(said) == 2, (step, said)
    assert_is(state, 2)
    checkpoints.save(3, spread(small_state(3)), facts={"seed": 7}, wait=True)
multihost_utils.sync_global_devices("mended")
if index == 0:
    assert sorted(p.name for p in folder.iterdir()) == ["2", "3"]
