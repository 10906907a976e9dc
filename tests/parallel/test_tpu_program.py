"""What crosses a TPU slice in an update, read off the compiled program."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None,
        reason="libtpu, the compiler for TPUs, is not installed (requirements-tpu.txt)",
    ),
]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    out = tmp_path_factory.mktemp("program") / "collectives.json"
    environment = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "TPU_SKIP_MDS_QUERY": "1",
        # Whoever else uses libtpu does not matter: there is no TPU.
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE.parent)]),
    }
    done = subprocess.run(
        [sys.executable, HERE / "tpu_program.py", out],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


def of_weights(program, *kinds):
    found = [c for c in program["collectives"] if c["kind"] in kinds]
    return [c for c in found if c["shape"] in program["weights"] and len(c["shape"]) > 1]


def test_gradients_are_reduced_in_float32(program):
    reduced = of_weights(program, "all-reduce", "reduce-scatter")
    assert len(reduced) > 10
    assert [c for c in reduced if c["dtype"] != "f32"] == []


def test_weights_are_gathered_in_bfloat16_the_embedding_table_too(program):
    gathered = of_weights(program, "all-gather")
    assert len(gathered) > 10 and any(c["shape"] == [2048, 1024] for c in gathered)
    assert [c for c in gathered if c["dtype"] != "bf16"] == []
