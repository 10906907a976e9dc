"""`python -m skinflow_jax …` is `skinflow …`."""

import sys

from skinflow_jax.cli import main

sys.exit(main())
