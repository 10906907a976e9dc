"""What one process finds in a checkpoint, both act upon; one process goes on where two stopped."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from small_state import same, small_state

from skinflow_jax.checkpoints.run_state import RunCheckpoints

HERE = Path(__file__).parent


def free_port() -> str:
    with socket.socket() as open_socket:
        open_socket.bind(("127.0.0.1", 0))
        return str(open_socket.getsockname()[1])


@pytest.mark.slow
def test_two_processes_save_agree_on_damage_and_are_followed_by_one(tmp_path):
    folder, port = tmp_path / "checkpoints", free_port()
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])
    processes = [
        subprocess.Popen(
            [sys.executable, str(HERE / "two_processes.py"), str(index), port, str(folder)],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    told = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(told)[-4000:]
    with RunCheckpoints(folder) as checkpoints:
        state, _, step = checkpoints.restore(jax.eval_shape(lambda: small_state(0)))
    assert step == 3 and same(state, small_state(3))
