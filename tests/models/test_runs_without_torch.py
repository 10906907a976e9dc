"""The package needs no torch: every module imports and the model runs where it is absent."""

import os
import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
import skinflow_jax
assert "jax" not in sys.modules, "import skinflow_jax must stay cheap"
modules = [m.name for m in pkgutil.walk_packages(skinflow_jax.__path__, "skinflow_jax.")]
for name in modules:
    # What an exported DVE model carries is PyTorch, and copied as text.
    if not name.endswith(("__main__", "_skinflow")):
        importlib.import_module(name)
assert len(modules) > 30
import numpy as np
from skinflow_jax.models.config import model_config
from skinflow_jax.models.vlm import init_model
logits = skinflow_jax.forward_logits(
    init_model(model_config("tiny")), input_ids=np.array([[10, 11, 12]])
)
assert logits.shape == (1, 3, 1024) and np.isfinite(logits).all()
assert "torch" not in sys.modules
"""


def test_every_module_imports_and_the_model_runs_without_torch():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
