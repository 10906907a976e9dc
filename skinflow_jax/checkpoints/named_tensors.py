"""A pytree's tensors under readable names, the path of attributes, keys and places to each.

`model/decoder/layers/q/kernel`: a checkpoint stored under such names can be described where it does
not fit.
"""

import hashlib
from pathlib import Path
from typing import Any

import jax

from skinflow_jax.errors import InputError
from skinflow_jax.models.config import VlmConfig

_REMEDY = "resume with the config the run was started with"


def named_leaves(tree: Any) -> dict[str, Any]:
    """Leaves by name, in the tree's order. An nnx.Param's inner `value` is left out of the name."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        names = [_key_name(key) for key in path]
        if len(names) > 1 and names[-1] == "value":
            names.pop()
        named["/".join(names)] = leaf
    return named


def _key_name(key) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def nested(named: dict[str, Any]) -> dict[str, Any]:
    """Dictionaries within dictionaries, one level for each part of a name."""
    root = {}
    for name, leaf in named.items():
        *parents, last = name.split("/")
        place = root
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = leaf
    return root


def with_leaves(tree: Any, found: dict[str, Any]) -> Any:
    """`tree` with the leaves that `found`, nested, holds under their names."""
    named = named_leaves(found)
    return jax.tree.unflatten(jax.tree.structure(tree), [named[n] for n in named_leaves(tree)])


def layout_hash(named: dict[str, Any]) -> str:
    """Of names, types and shapes (hexadecimal)."""
    lines = sorted(f"{name} {x.dtype} {list(x.shape)}\n" for name, x in named.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_kind(stored: VlmConfig, expected: VlmConfig, where: Path) -> None:
    """Raise InputError where the models differ in what their tensors' names do not show."""
    for name, was, asked in (
        ("dve", stored.vision.dve, expected.vision.dve),
        ("lora", stored.lora, expected.lora),
        ("trainable", stored.trainable, expected.trainable),
    ):
        if was != asked:
            raise InputError(
                f"{where}: model.{name} is {was} in the checkpoint, {asked} in the config; "
                f"{_REMEDY}"
            )


def check_tensors(stored: dict[str, Any], expected: dict[str, Any], where: Path) -> None:
    """Raise InputError naming the first tensor that is missing, left over or of another shape."""
    for name, leaf in expected.items():
        if name not in stored:
            raise InputError(f"{where}: no tensor {name}; the run was made with another config")
        if tuple(stored[name].shape) != tuple(leaf.shape):
            raise InputError(
                f"{where}: tensor {name} has shape {tuple(stored[name].shape)}, the config asks "
                f"for {tuple(leaf.shape)}; {_REMEDY}"
            )
    extra = sorted(set(stored) - set(expected))
    if extra:
        raise InputError(
            f"{where}: {len(extra)} tensors that the config does not have, the first {extra[0]}; "
            f"{_REMEDY}"
        )
