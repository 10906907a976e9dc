"""What one process finds in a checkpoint, both act upon; one process goes on where two stopped."""

from pathlib import Path

import jax
import pytest
from both_processes import both_processes
from small_state import same, small_state

from skinflow_jax.checkpoints.run_state import RunCheckpoints


@pytest.mark.slow
def test_two_processes_save_agree_on_damage_and_are_followed_by_one(tmp_path):
    folder = tmp_path / "checkpoints"
    both_processes(Path(__file__).with_name("two_processes.py"), folder)
    with RunCheckpoints(folder) as checkpoints:
        state, _, step = checkpoints.restore(jax.eval_shape(lambda: small_state(0)))
    assert step == 3 and same(state, small_state(3))
