"""A prompt after prefill, between the programs of a rollout: arrays, or their shapes alone."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prefix:
    """A prompt after prefill: what its G rows share.

    `keys`, `values`: `[layers, P, K, N, h]`; `last_hidden`: the normed state that predicts the
    first token of every row.
    """

    keys: Float[Array, "layers P K N h"]
    values: Float[Array, "layers P K N h"]
    mask: Bool[Array, "P N"]
    last_hidden: Float[Array, "P D"]
    next_position: Int[Array, " P"]
