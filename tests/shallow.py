"""A size for tests, without importing jax."""

import dataclasses

from skinflow_jax.models.config import SIZES

_TINY = SIZES["tiny"]

# Two layers of each kind compile in half the time and still have something to carry over.
SHALLOW = dataclasses.replace(
    _TINY,
    vision=dataclasses.replace(_TINY.vision, depth=2, full_attention_blocks=(1,)),
    text=dataclasses.replace(_TINY.text, num_layers=2),
)
