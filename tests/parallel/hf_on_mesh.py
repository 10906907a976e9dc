"""Folders and adapters read onto meshes of four devices; for test_hf_on_meshes.py.

Run as `python hf_on_mesh.py OUT`, with four CPU devices and tests/ on its path.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
from random_model import SHALLOW, listening, spread_model

from skinflow_jax.checkpoints.hf_adapter import load_adapter, save_adapter
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.lora import with_lora
from skinflow_jax.parallel import MeshConfig, make_mesh

MESHES = [MeshConfig(), MeshConfig(fsdp=4), MeshConfig(tensor=4), MeshConfig(fsdp=2, tensor=2)]


def assert_same(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def main(out: Path) -> None:
    vision = dataclasses.replace(SHALLOW.vision, dve=DveConfig(groups=8))
    dynamic = spread_model(dataclasses.replace(SHALLOW, vision=vision))
    save_pretrained(dynamic, out / "dynamic")
    for mesh in MESHES:
        assert_same(load_pretrained(out / "dynamic", mesh=make_mesh(mesh)), dynamic)
    base, mesh = spread_model(SHALLOW), make_mesh(MESHES[-1])
    adapted = listening(with_lora(base, LoraConfig(rank=4, vision=True)))
    save_pretrained(base, out / "base")
    save_adapter(adapted, out / "adapter", base=None)
    found = load_adapter(load_pretrained(out / "base", mesh=mesh), out / "adapter", mesh=mesh)
    assert_same(found, adapted)
    assert len(found.decoder.layers.q.lora_b[...].sharding.device_set) == 4
    for name, model in (("spread", found), ("single", adapted)):
        save_pretrained(model, out / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
