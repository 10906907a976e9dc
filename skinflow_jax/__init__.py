"""SkinFlow in JAX: a dermatology vision-language model trained by staged reinforcement learning.

The names below are loaded when first used, so that `import skinflow_jax` stays cheap.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skinflow_jax.checkpoints.hf_export import save_pretrained
    from skinflow_jax.checkpoints.hf_import import load_pretrained
    from skinflow_jax.config import load_config
    from skinflow_jax.models.forward import forward_logits
    from skinflow_jax.runs.from_python import evaluate, generate, train

__all__ = [
    "evaluate",
    "forward_logits",
    "generate",
    "load_config",
    "load_pretrained",
    "save_pretrained",
    "train",
]

_MODULES = {
    "evaluate": "skinflow_jax.runs.from_python",
    "forward_logits": "skinflow_jax.models.forward",
    "generate": "skinflow_jax.runs.from_python",
    "load_config": "skinflow_jax.config",
    "load_pretrained": "skinflow_jax.checkpoints.hf_import",
    "save_pretrained": "skinflow_jax.checkpoints.hf_export",
    "train": "skinflow_jax.runs.from_python",
}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
