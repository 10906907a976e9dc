"""The command line, with a "tiny" model and a demo that are small enough for tests."""

import os
import sys

from jax._src import cache_key
from shallow import SHALLOW

from skinflow_jax.cli import main
from skinflow_jax.models.config import SIZES
from skinflow_jax.runs import demo

# The key of a program compiled for CPUs has the process's number in it, those for others have not,
# and JAX keeps what the first process compiles: the others would compile at each start.
cache_key._hash_accelerator_config = cache_key._hash_devices

if __name__ == "__main__":
    SIZES["tiny"] = SHALLOW
    demo.SIZES["procedural"] = demo.DemoSize(
        warmup_cases=40,
        warmup_diagnoses=20,
        rl_cases=24,
        stage2_captions=6,
        heldout_cases=12,
        warmup_steps=4,
        stage1_steps=1,
        stage2_steps=1,
    )
    if "SKINFLOW_TEST_PHASES" in os.environ:
        from phases import log_phases

        log_phases(os.environ["SKINFLOW_TEST_PHASES"])
    if "SKINFLOW_TEST_LONG_TARGET" in os.environ:
        from faults import long_target

        long_target(int(os.environ["SKINFLOW_TEST_LONG_TARGET"]))
    sys.exit(main())
