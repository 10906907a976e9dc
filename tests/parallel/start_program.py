"""What devices and host hold while runs begin on a mesh of eight; for test_bytes_at_start.py.

Run as `python start_program.py OUT`, with eight CPU devices and tests/ on its path; it writes
OUT/held.json. Learners are stand-ins: it is the start that is measured.
"""

import dataclasses
import functools
import json
import sys
import tracemalloc
from pathlib import Path

import jax
import pytest
import stand_in
from jax._src.core import trace_state_clean
from random_model import SHALLOW, spread_model

from skinflow_jax.checkpoints.fingerprint import fingerprint
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.checkpoints.run_state import load_model
from skinflow_jax.config import ModelChoice
from skinflow_jax.models.config import SIZES, LoraConfig
from skinflow_jax.parallel import MeshConfig, make_mesh
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.runs import train as runs_train
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.memory_table import memory_rows

ROOT = str(Path(runs_train.__file__).parents[1])
# Where the model is made, read, converted, placed and kept.
ROOMS = ("models/", "parallel/sharding", "training/state", "checkpoints/", "runs/")
# Wide where the mesh splits it: of the weights little is whole on every device.
WIDE = dataclasses.replace(SHALLOW, text=dataclasses.replace(SHALLOW.text, intermediate_size=8192))
MESH = MeshConfig(data=2, fsdp=2, tensor=2)
KL = GrpoConfig(max_tokens=8, loss=PolicyLossConfig(kl_coef=0.1))


@functools.cache
def ours(file: str) -> bool:
    """Whether a function of this file may hold arrays of the model."""
    return file.startswith(ROOT) and file[len(ROOT) + 1 :].startswith(ROOMS)


class Held:
    """The most that one device held whenever a function of ours returned, in bytes.

    `most`: of all arrays. `largest`: of one. What several arrays share counts once.
    """

    def __init__(self):
        self.most = self.largest = 0
        self._seen = frozenset()

    def begin(self):
        sys.setprofile(self._returned)

    def end(self):
        sys.setprofile(None)

    def _returned(self, frame, event, _):
        # What is only traced makes no array, in very many calls.
        if event == "return" and ours(frame.f_code.co_filename) and trace_state_clean():
            self.end()
            self._look()
            self.begin()

    def _look(self):
        arrays = [array for array in jax.live_arrays() if not array.is_deleted()]
        seen, self._seen = self._seen, frozenset(map(id, arrays))
        if seen == self._seen:
            return
        buffers = [{} for _ in jax.devices()]
        for array in arrays:
            for shard in array.addressable_shards:
                address = shard.data.unsafe_buffer_pointer()
                buffers[shard.device.id][address] = shard.data.nbytes
        self.most = max(self.most, *(sum(held.values()) for held in buffers))
        self.largest = max(self.largest, *(max(held.values(), default=0) for held in buffers))


class Learner(stand_in.StandIn):
    """Has a reference and ends what is measured before the first step."""

    held = Held()
    rollout = None
    found: dict

    def __init__(self, *_, reference=None, **__):
        self._reference = reference

    def warm_up(self, state, shapes):
        self.held.end()
        rows = memory_rows(state, self.rollout, make_mesh(MESH))
        type(self).found = {
            "most": self.held.most,
            "largest": self.held.largest,
            "weights": share(state.model),
            "optimizer state": share(state.opt_state),
            "KL reference": share(self._reference),
            "tensor": max(map(share, jax.tree.leaves(state))),
            "table": {row.kind: row.bytes for row in rows},
        }
        return {}


def share(tree) -> int:
    """Bytes of a tree's arrays on one device."""
    return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))


def started(config, workdir, **options) -> dict:
    """What was held until the first step of a run, and what it is made of."""
    Learner.held, Learner.rollout = Held(), runs_train.rollout_shapes(config)
    Learner.held.begin()
    runs_train.train(config, workdir, **options)
    return Learner.found


def on_host(load) -> int:
    """The most that Python and NumPy held at once during `load()`, in bytes."""
    load()  # else caches, modules and programs would count
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    load()
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return most


def main(out: Path) -> None:
    patch, mesh, starts = pytest.MonkeyPatch(), make_mesh(MESH), {}
    stand_in.stand_ins(patch, Learner)
    patch.setitem(SIZES, "tiny", WIDE)
    sft = dataclasses.replace(
        stand_in.SMALL_RUN, batch_size=8, mesh=MESH, loop=LoopConfig(steps=1, checkpoint_every=1)
    )
    starts["random"] = started(sft, out / "random")
    for name, model in {
        "full": ModelChoice(dtype="bfloat16"),
        "adapters": ModelChoice(lora=LoraConfig(rank=8, vision=True)),
    }.items():
        model = dataclasses.replace(model, init_from=str(out / "random"))
        grpo = dataclasses.replace(sft, algorithm="grpo", model=model, rl=KL)
        starts[name] = started(grpo, out / name)
        longer = dataclasses.replace(grpo, loop=LoopConfig(steps=2, checkpoint_every=1))
        starts[f"{name}, resumed"] = started(longer, out / name, resume=True)
    model = spread_model(WIDE)
    save_pretrained(model, out / "exported")
    weights = [x.nbytes for x in jax.tree.leaves(model)]
    del model
    spread = load_model(out / "random" / "checkpoints", mesh=mesh)
    host = {
        "imported": on_host(lambda: load_pretrained(out / "exported", mesh=mesh)),
        "opened": on_host(lambda: load_model(out / "random" / "checkpoints", mesh=mesh)),
        "compared": on_host(lambda: fingerprint(jax.tree.map(lambda x: x + 0, spread))),
    }
    found = {"starts": starts, "host": host, "weights": sum(weights), "tensor": max(weights)}
    (out / "held.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
