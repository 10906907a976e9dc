"""Which parameters are trained, and a model partitioned by that.

With adapters: they and the dynamic maps (all of `dve.FDLinear`), which have none. Without: what
`VlmConfig.trainable` says, "vision" for the tower with its merger, "language" for the decoder with
embedding and head, "all" for both.

A part of a model has None where it leaves an array out, which `jax.grad` and optax pass over. The
reference of a KL is `joined(kept, policy)`: `kept` is a copy of the trained part as the run began,
and the rest is the policy's own, which never changes.
"""

import fnmatch

import jax
from flax import nnx

from skinflow_jax.models.config import VlmConfig

ADAPTER = ("lora_a", "lora_b")
DYNAMIC_GROUPS = ("dve", "gates")
"""Groups of parameters that are no part of a path: all of the dynamic maps, and what computes their
gates, which is all of them but the spectrum and the bias."""
_STATIC = ("spectrum", "bias")  # of a dynamic map: what a static one has too


def is_trained(config: VlmConfig, names: tuple[str, ...]) -> bool:
    """Whether the parameter of a Vlm at the attribute path `names` is trained."""
    if config.lora is not None:
        return names[-1] in ADAPTER or is_dynamic(config, names)
    half = {"vision": "vision", "language": "decoder"}
    return config.trainable == "all" or names[0] == half[config.trainable]


def is_dynamic(config: VlmConfig, names: tuple[str, ...]) -> bool:
    """Whether the parameter is part of a dynamic map."""
    dve = config.vision.dve
    return dve is not None and names[:3] == ("vision", "dynamic", "mlp") and names[3] in dve.linears


def in_group(config: VlmConfig, names: tuple[str, ...], group: str) -> bool:
    """Whether the parameter at the attribute path `names` is in the group.

    A group is one of `DYNAMIC_GROUPS`, or names that stand in a row in the path, joined by "/" as
    in a checkpoint ("vision", "decoder/layers/mlp"); in a name `*` stands for anything.
    """
    if group in DYNAMIC_GROUPS:
        return is_dynamic(config, names) and (group == "dve" or names[4] not in _STATIC)
    wanted = group.split("/")
    rows = (names[i : i + len(wanted)] for i in range(len(names) - len(wanted) + 1))
    return any(all(map(fnmatch.fnmatchcase, row, wanted)) for row in rows)


def parameter_path(path) -> tuple[str, ...]:
    """The attribute path of a parameter from its JAX key path."""
    names = tuple(key.name for key in path)
    return names[:-1] if names[-1] == "value" else names


def trained_part(model):
    """The Vlm with None for its frozen parameters; arrays are shared."""

    def chosen(path, variable):
        names = parameter_path(path)
        return variable if is_trained(model.config, names) else jax.tree.map(_nothing, variable)

    return jax.tree_util.tree_map_with_path(
        chosen, model, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)
    )


def _nothing(_):
    return None


def joined(part, model):
    """`part` with the arrays of `model` where it has none; a whole model stays as it is."""
    return jax.tree.map(
        lambda own, other: other if own is None else own,
        part,
        model,
        is_leaf=lambda leaf: leaf is None,
    )
