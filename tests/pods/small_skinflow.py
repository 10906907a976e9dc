"""The command line, with a "tiny" model that is shallow enough for tests."""

import sys

from shallow import SHALLOW

from skinflow_jax.cli import main
from skinflow_jax.models.config import SIZES

if __name__ == "__main__":
    SIZES["tiny"] = SHALLOW
    sys.exit(main())
