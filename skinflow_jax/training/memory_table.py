"""What a run trains and what that takes, from shapes alone: the table at its start."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from rich.console import Group, RenderableType
from rich.table import Table

from skinflow_jax.models.log_probs import tokens_at_a_time
from skinflow_jax.models.trainable import (
    ADAPTER,
    is_dynamic,
    is_trained,
    parameter_path,
    trained_part,
)
from skinflow_jax.models.vlm import Vlm
from skinflow_jax.parallel import ROLLOUT_RULES, TRAIN_RULES, as_read, module_shardings
from skinflow_jax.parallel.sharding import logical_spec
from skinflow_jax.training.state import TrainState

# In the order of the data flow.
PARTS = (
    "patch embedding",
    "vision blocks",
    "dynamic maps",
    "merger",
    "token embedding",
    "decoder layers",
    "final norm",
    "head",
    "adapters",
)
_PLACES = {
    ("vision", "patch_embedding"): "patch embedding",
    ("vision", "merger"): "merger",
    ("decoder", "embedding"): "token embedding",
    ("decoder", "layers"): "decoder layers",
    ("decoder", "norm"): "final norm",
    ("decoder", "head"): "head",
}


@dataclass(frozen=True)
class ParameterRow:
    """Parameters of one part of the model; a part is trained or frozen as a whole."""

    part: str
    parameters: int
    trained: bool


@dataclass(frozen=True)
class MemoryRow:
    """Bytes on one device; `estimate` where the compiler may need more or less."""

    kind: str
    bytes: int
    estimate: bool = False


@dataclass(frozen=True)
class RolloutShapes:
    """What a GRPO step holds at most: prompts over all devices, lengths in tokens.

    `micro_batches`: of an update's prompts. `reference`: whether there is a
    KL.
    """

    prompts: int
    group_size: int
    prompt_length: int
    completion_length: int
    micro_batches: int
    dtype: str
    reference: bool


def parameter_rows(model: Vlm) -> list[ParameterRow]:
    """The parts that the model has; its arrays may be abstract."""
    counts: dict[str, int] = {}
    trained: dict[str, bool] = {}
    for key, leaf in jax.tree_util.tree_leaves_with_path(model):
        path = parameter_path(key)
        part = _part(model, path)
        counts[part] = counts.get(part, 0) + leaf.size
        trained[part] = is_trained(model.config, path)
    return [ParameterRow(part, counts[part], trained[part]) for part in PARTS if part in counts]


def _part(model: Vlm, path: tuple[str, ...]) -> str:
    if path[-1] in ADAPTER:
        return "adapters"
    if is_dynamic(model.config, path):
        return "dynamic maps"
    return _PLACES.get(path[:2], "vision blocks")


def memory_rows(
    state: TrainState, rollout: RolloutShapes | None = None, mesh=None
) -> list[MemoryRow]:
    """What one device of `mesh` holds of an abstract state, its gradients and a GRPO step.

    Without activations, which only compiling tells, see `program_table`.
    """
    trained = _bytes(trained_part(state.model))
    rows = [
        MemoryRow("weights", _bytes(state.model)),
        MemoryRow("gradients", trained),
        MemoryRow("optimizer state", _bytes(state.opt_state)),
    ]
    if rollout is None:
        return rows
    if rollout.reference:
        reference = abstract_copy(trained_part(state.model), rollout.dtype, mesh)
        rows.append(MemoryRow(f"KL reference in {rollout.dtype}", _bytes(reference)))
    return [*rows, *_rollout_rows(state.model, rollout, mesh)]


def abstract_copy(model: Vlm, dtype: str, mesh, rules=TRAIN_RULES) -> Vlm:
    """A copy of the weights in the types that the forward pass reads them in, without memory."""
    copy = jax.eval_shape(lambda model: as_read(model, dtype), model)
    if mesh is None:
        return copy
    return jax.tree.map(_placed, copy, module_shardings(copy, mesh, rules))


def _rollout_rows(model: Vlm, rollout: RolloutShapes, mesh) -> Iterable[MemoryRow]:
    text, kept = model.config.text, jnp.dtype(rollout.dtype)
    copy = abstract_copy(model, rollout.dtype, mesh, ROLLOUT_RULES)
    if kept != model.decoder.embedding.dtype or (mesh is not None and mesh.shape["fsdp"] > 1):
        yield MemoryRow("sampler's copy of the weights", _bytes(copy))
    yield MemoryRow("layers as decoding reads them", _bytes(copy.decoder.layers), True)
    prompts, group, length = rollout.prompts, rollout.group_size, rollout.completion_length
    layers, heads, size = text.num_layers, text.num_kv_heads, text.head_dim

    def pair(rows, tokens):
        shape = (2, layers, rows, heads, tokens, size)
        return _part_size(shape, ("batch", "heads", None, None), mesh) * kept.itemsize

    yield MemoryRow("prefix keys and values", pair(prompts, rollout.prompt_length), True)
    yield MemoryRow("completion keys and values", pair(prompts, group * length), True)
    rows = prompts // rollout.micro_batches
    shape = (rows, group, tokens_at_a_time(rows * group, length, text.vocab_size), text.vocab_size)
    logits = _part_size(shape, ("batch", None, None, "vocab"), mesh)
    yield MemoryRow("one chunk of logits", logits * jnp.dtype("float32").itemsize, True)


def _part_size(shape: tuple[int, ...], axes: tuple[str | None, ...], mesh) -> int:
    """Elements of one device's shard of an array with these trailing logical axes."""
    if mesh is not None:
        shape = NamedSharding(mesh, logical_spec(axes, shape, mesh)).shard_shape(shape)
    return math.prod(shape)


def _placed(leaf, sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _bytes(tree) -> int:
    """On one device."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        sharding = getattr(leaf, "sharding", None)
        shape = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
        total += math.prod(shape) * leaf.dtype.itemsize
    return total


def start_table(
    parameters: list[ParameterRow], memory: list[MemoryRow], devices: int = 1
) -> RenderableType:
    """Both lists for the console; `memory` is what each of `devices` holds."""
    parts = Table("part", "parameters", "", title="parameters", title_justify="left")
    parts.columns[1].justify = "right"
    for row in parameters:
        parts.add_row(row.part, f"{row.parameters:,}", "trained" if row.trained else "frozen")
    trained = sum(row.parameters for row in parameters if row.trained)
    total = sum(row.parameters for row in parameters)
    parts.add_section()
    parts.add_row("trained of all", f"{trained:,}", f"of {total:,} ({trained / total:.1%})")
    title = "memory of one device" if devices == 1 else f"memory of each of {devices} devices"
    held = Table("kind", "MiB", "", title=title, title_justify="left")
    held.columns[1].justify = "right"
    for row in memory:
        held.add_row(row.kind, f"{row.bytes / 2**20:,.1f}", "estimate" if row.estimate else "")
    return Group(parts, held)


def program_table(temporary: dict[str, int]) -> RenderableType:
    """What `warm_up` of a learner found, for the console."""
    held = Table("program", "activations and other temporary memory of one device, MiB")
    held.columns[1].justify = "right"
    for name, size in temporary.items():
        held.add_row(name, f"{size / 2**20:,.1f}")
    return held
