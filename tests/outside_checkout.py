"""Python outside the checkout, with the installed package alone; see `installed` in conftest.py."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# The checkout may be installed in the same Python: whatever was imported must not come from there.
IT_IS_THE_INSTALLED_ONE = """
import sys
from pathlib import Path

ours = [module for name, module in sys.modules.items() if name.startswith("skinflow_jax")]
elsewhere = [m for m in ours if not Path(m.__file__).is_relative_to(sys.argv[1])]
assert ours and not elsewhere, elsewhere
"""


def python(folder, *command, path=None):
    """What it prints, run in a folder; `path` is the only one of ours it sees."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=kept | {"JAX_PLATFORMS": "cpu"} | ({"PYTHONPATH": str(path)} if path else {}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
