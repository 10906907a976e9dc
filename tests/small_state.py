"""A state of a few hundred numbers, saved and loaded in milliseconds."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from random_model import TINY

from skinflow_jax.checkpoints.run_state import RunCheckpoints


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Weights:
    """Stands for a Vlm: arrays and a config."""

    kernel: Any
    scale: Any
    config: Any = dataclasses.field(default=TINY, metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SmallState:
    """Stands for a train state."""

    step: Any
    model: Weights
    moments: Any


def small_state(step: int) -> SmallState:
    """Other numbers at every step."""
    rng = np.random.default_rng(step)
    numbers = rng.normal(size=(3, 16, 16)).astype(np.float32)
    kernel, scale, moments = map(jnp.asarray, numbers)
    return SmallState(jnp.int32(step), Weights(kernel, scale[0]), {"mu": moments})


def small_run(folder: Path, steps=(1, 2), **options) -> Path:
    """`folder` with a finished checkpoint of each of `steps`."""
    with RunCheckpoints(folder, **options) as checkpoints:
        for step in steps:
            checkpoints.save(step, small_state(step), facts={"seed": 7}, wait=True)
    return folder


def same(found, expected) -> bool:
    """Whether two pytrees are equal bit for bit."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def files_of(step_folder: Path) -> list[Path]:
    """Every file of a checkpoint that has something in it."""
    return sorted(p for p in step_folder.rglob("*") if p.is_file() and p.stat().st_size)
