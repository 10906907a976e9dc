"""Logical axis names and the one table that maps them to mesh axes.

A parameter carries the names of its axes (`nnx.Param(value, axes=("embed", "mlp"))`); stacked
layers have an unnamed axis in front. An activation is constrained where it is made, by
`constrain(x, "batch", None, "embed")`. Without a mesh both do nothing, so the same program runs on
one device and on many.
"""

import contextlib
import math
from collections.abc import Mapping

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from skinflow_jax.errors import ConfigError
from skinflow_jax.parallel.mesh import AXES, BATCH_AXES, process_part
from skinflow_jax.parallel.precision import as_read

# Parameters are sharded over `fsdp` along their embedding axis and over `tensor` along heads,
# hidden units and vocabulary. Axes whose names are absent are not sharded.
TRAIN_RULES: Mapping[str, tuple[str, ...]] = {
    "batch": BATCH_AXES,
    "embed": ("fsdp",),
    "heads": ("tensor",),
    "mlp": ("tensor",),
    "vocab": ("tensor",),
}

# The sampler replicates layers over `fsdp`, so that decoding all-gathers no FSDP shard.
ROLLOUT_RULES: Mapping[str, tuple[str, ...]] = {
    name: axes for name, axes in TRAIN_RULES.items() if name != "embed"
}


def logical_spec(axes, shape, mesh, rules=TRAIN_RULES) -> PartitionSpec:
    """PartitionSpec of an array with logical `axes` (the last `len(axes)` axes of `shape`).

    A mesh axis that does not divide its dimension is left out: no sharding over it there.
    Raises ConfigError if two axes of one array claim the same mesh axis.
    """
    axes = (None,) * (len(shape) - len(axes)) + tuple(axes)
    entries, used = [], set()
    for name, size in zip(axes, shape, strict=True):
        names, parts = [], 1
        for mesh_axis in rules.get(name, ()):
            width = mesh.shape.get(mesh_axis, 1)
            if width > 1 and size % (parts * width) == 0:
                names.append(mesh_axis)
                parts *= width
        if used & set(names):
            raise ConfigError(f"logical axes {axes}: two of them map to the same mesh axis {names}")
        used |= set(names)
        entries.append(tuple(names) if len(names) > 1 else (names[0] if names else None))
    return PartitionSpec(*entries)


# Of the weights' bytes, what an axis may leave replicated: norms and small heads.
MOST_UNDIVIDED = 0.01


def undivided(
    module, axis: str, width: int, rules=TRAIN_RULES
) -> tuple[float, dict[str, set[int]]]:
    """What `width` devices along mesh `axis` cannot split of a module that `rules` would split.

    Returns the share of the module's bytes that each of them holds whole, and the sizes that do
    not divide, by logical axis.
    """
    whole, sizes, total = 0, {}, 0
    for leaf in jax.tree.leaves(module, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)):
        if not isinstance(leaf, nnx.Variable) or not jax.tree.leaves(leaf):
            continue
        size = math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize
        total += size
        shape = leaf.shape[len(leaf.shape) - len(leaf.axes) :]
        mapped = [(n, d) for n, d in zip(leaf.axes, shape, strict=True) if axis in rules.get(n, ())]
        broken = [(name, dim) for name, dim in mapped if dim % width]
        for name, dim in broken:
            sizes.setdefault(name, set()).add(dim)
        whole += size if broken else 0
    return whole / max(total, 1), sizes


def check_divides(module, mesh: Mesh | None) -> list[str]:
    """Lines that say what the mesh leaves replicated, for the start of a run.

    Raises ConfigError, with the sizes that work, where an axis leaves so more than a hundredth of
    the weights: it would hold more and compute no faster.
    """
    told = []
    for axis in AXES:
        width = 1 if mesh is None else mesh.shape.get(axis, 1)
        share, sizes = undivided(module, axis, width)
        if not sizes:
            continue
        named = ", ".join(f"{name} {sorted(dims)}" for name, dims in sorted(sizes.items()))
        line = f"mesh.{axis}={width} does not divide {named}: {share:.2%} of the weights"
        if share > MOST_UNDIVIDED:
            works = [n for n in range(1, width) if undivided(module, axis, n)[0] <= MOST_UNDIVIDED]
            raise ConfigError(f"{line} would be replicated; what works: {works}")
        told.append(f"{line} are replicated")
    return told


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """`x` with its sharding constrained by logical axis names; the identity without a mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    return jax.lax.with_sharding_constraint(x, logical_spec(axes, x.shape, mesh))


def batch_shards(rows: int | None = None) -> int:
    """Number of shards of a batch on the mesh in use; 1 where there is none.

    Of a batch of `rows`: how many it is divided into, fewer where the mesh axes do not divide it.
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = TRAIN_RULES["batch"]
    if rows is not None:
        axes = jax.tree.leaves(tuple(logical_spec(("batch",), (rows,), mesh)))
    return math.prod(mesh.shape.get(axis, 1) for axis in axes)


def module_shardings(module, mesh, rules=TRAIN_RULES):
    """`module`, or any tree of parameters and arrays, with a NamedSharding in place of each.

    Arrays that are no parameters, such as an optimizer's step count, are replicated.
    """

    def sharding(leaf):
        if not jax.tree.leaves(leaf):
            return leaf  # a parameter that a part of a model leaves out
        if not isinstance(leaf, nnx.Variable):
            return NamedSharding(mesh, PartitionSpec())
        spec = logical_spec(leaf.axes, leaf.shape, mesh, rules)
        return jax.tree.map(lambda _: NamedSharding(mesh, spec), leaf)

    return jax.tree.map(sharding, module, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))


def mesh_batch_shards(mesh: Mesh) -> int:
    """Into how many parts `mesh` splits a batch."""
    return math.prod(mesh.shape.get(axis, 1) for axis in TRAIN_RULES["batch"])


def batch_axes(mesh: Mesh) -> str:
    """The axes of `mesh` that split a batch, for messages: "data=2 x fsdp=4"."""
    return " x ".join(
        f"{axis}={mesh.shape[axis]}"
        for axis in TRAIN_RULES["batch"]
        if axis != "slice" or mesh.shape.get(axis, 1) > 1
    )


def place_batch(batch, mesh: Mesh | None):
    """Put arrays whose leading axis is the batch on the mesh, split over its `batch` axes.

    With several processes each brings its own rows, those of `process_part`. Raises ConfigError if
    they do not divide.
    """
    if mesh is None:
        # By name: to a program, an array that might go elsewhere is another argument than one of
        # an earlier program, and it would be compiled for either.
        return jax.device_put(batch, jax.devices()[0])
    parts, (_, bringing) = mesh_batch_shards(mesh), process_part(mesh)

    def place(x):
        rows = x.shape[0] * bringing
        if rows % parts:
            raise ConfigError(
                f"a batch of {rows} does not divide over mesh {batch_axes(mesh)}: make batch_size "
                f"a multiple of {parts}"
            )
        sharding = NamedSharding(mesh, PartitionSpec(TRAIN_RULES["batch"]))
        return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    return jax.tree.map(place, batch)


def local_rows(x: jax.Array) -> np.ndarray:
    """This process's rows of an array whose leading axis is the batch, in order."""
    if x.is_fully_addressable:
        return np.asarray(x)
    rows = {shard.index[0].start or 0: shard.data for shard in x.addressable_shards}
    return np.concatenate([np.asarray(rows[start]) for start in sorted(rows)])


def place_module(module, mesh: Mesh | None, rules=TRAIN_RULES):
    """`module` with its parameters sharded by `rules` on `mesh`; as it is where that is None.

    Every process that has a module of its own has the same.
    """
    if mesh is None:
        return module
    return jax.tree.map(_placed, module, module_shardings(module, mesh, rules))


def _placed(x, sharding):
    if isinstance(x, jax.Array) and not (x.is_fully_addressable and jax.process_count() > 1):
        return jax.device_put(x, sharding)
    # device_put would gather the array from every process, to compare.
    own = np.asarray(x)
    return jax.make_array_from_callback(own.shape, sharding, lambda index: own[index])


def constrain_module(module, rules=TRAIN_RULES):
    """`place_module` under jit, on the mesh in use; the identity where there is none."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return module
    return jax.lax.with_sharding_constraint(module, module_shardings(module, mesh, rules))


def rollout_copy(module, dtype: str):
    """The module as the sampler reads it, sharded by the rollout rules. Under jit.

    In `dtype`, but for what the forward pass reads in float32: the sampler computes what the
    learner does.
    """
    return constrain_module(as_read(module, dtype), ROLLOUT_RULES)


@contextlib.contextmanager
def use_mesh(mesh: Mesh | None):
    """Make `mesh` the one that `constrain` and jitted functions see; None changes nothing."""
    if mesh is None:
        yield
    else:
        with jax.set_mesh(mesh):
            yield
