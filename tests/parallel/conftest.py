"""Programs in processes of their own, with as many CPU devices as they need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def on_devices():
    """Runs a program of this folder with so many devices and tests/ on its path."""

    def run(devices, program, *arguments):
        flag = f"--xla_force_host_platform_device_count={devices}"
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name(program), *map(str, arguments)],
            env=os.environ
            | {
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {flag}",
                "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    return run
