"""Some parameters learn faster than others: learning-rate multipliers for groups of them."""

import difflib
import math
from collections.abc import Mapping, Sequence

import jax
import optax

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.trainable import DYNAMIC_GROUPS, in_group, parameter_path
from skinflow_jax.typed_fields import shown


def multiplied(
    optimizer: optax.GradientTransformation, multipliers: Mapping[str, float]
) -> optax.GradientTransformation:
    """`optimizer` of a Vlm, with its updates, weight decay and all, times their groups' factors.

    A parameter in several groups gets the product of their factors. The state is that of
    `optimizer`: a run may take multipliers on, change them or drop them at a resume.

    `init` raises ConfigError for a group that no parameter is in.
    """
    if not multipliers:
        return optimizer

    def init(params):
        _check(params, multipliers)
        return optimizer.init(params)

    def update(updates, state, params=None):
        updates, state = optimizer.update(updates, state, params)

        def scaled(path, x):
            names = parameter_path(path)
            factors = [
                m for group, m in multipliers.items() if in_group(updates.config, names, group)
            ]
            return x * math.prod(factors) if factors else x

        return jax.tree_util.tree_map_with_path(scaled, updates), state

    return optax.GradientTransformation(init, update)


def _check(params, multipliers: Mapping[str, float]) -> None:
    paths = [parameter_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for group in multipliers:
        if not any(in_group(params.config, names, group) for names in paths):
            raise ConfigError(
                f"optimizer.multipliers: {shown(group)} names no parameter that is trained: "
                f"{_hint(group, paths)}"
            )


def _hint(group: str, paths: Sequence[tuple[str, ...]]) -> str:
    if group in DYNAMIC_GROUPS:
        return "it is of a dynamic vision encoder, which model.dve makes"
    top = [*DYNAMIC_GROUPS, *sorted({names[0] for names in paths})]
    known = {*top, *(name for names in paths for name in names), *map("/".join, paths)}
    near = difflib.get_close_matches(group, sorted(known), n=3)
    return f"the nearest are {', '.join(near or top)}"
