"""Programs in processes of their own, with as many CPU devices as they need."""

import importlib.util
import os
import subprocess
import sys
import types
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


@pytest.fixture(scope="session")
def with_libtpu():
    """Runs a program of this folder with libtpu, which needs no TPU; what it prints."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu, the compiler for TPUs, is not installed (requirements-tpu.txt)")

    def run(program, *arguments):
        environment = {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "",
            "TPU_SKIP_MDS_QUERY": "1",
            # Whoever else uses libtpu does not matter: there is no TPU.
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            "PYTHONPATH": os.pathsep.join([*sys.path, str(TESTS)]),
        }
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name(program), *map(str, arguments)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture
def any_device(monkeypatch):
    """Lets make_mesh take stand-ins: jax's own mesh takes none but jax's own devices."""
    monkeypatch.setattr(
        "skinflow_jax.parallel.mesh.Mesh",
        lambda devices, names, axis_types: types.SimpleNamespace(
            devices=devices, axis_names=names, shape=dict(zip(names, devices.shape, strict=True))
        ),
    )
