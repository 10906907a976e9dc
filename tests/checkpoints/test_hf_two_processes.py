"""Two processes read folders onto one mesh: each its own bytes, and both stop where one must."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from random_model import SHALLOW, listening, spread_model
from safetensors.numpy import load_file, save_file
from test_two_processes import free_port

from skinflow_jax.checkpoints.hf_adapter import save_adapter
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.models.config import LoraConfig
from skinflow_jax.models.lora import with_lora

HERE = Path(__file__).parent
EMBEDDING = "model.embed_tokens.weight"


@pytest.mark.slow
def test_two_processes_read_their_own_parts_and_agree_on_damage(tmp_path):
    folder, broken, adapter = (tmp_path / name for name in ("model", "broken", "adapter"))
    port, model = free_port(), spread_model(SHALLOW)
    save_pretrained(model, folder)
    save_adapter(listening(with_lora(model, LoraConfig(rank=4))), adapter, base=None)
    shutil.copytree(folder, broken)
    (file,) = broken.glob("*.safetensors")
    tensors = load_file(file)
    tensors[EMBEDDING][7, -1] = float("inf")
    save_file(tensors, file, metadata={"format": "pt"})
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])
    program = [sys.executable, str(HERE / "hf_two_processes.py")]
    processes = [
        subprocess.Popen(
            [*program, str(index), port, *map(str, (folder, broken, adapter))],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    told = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(told)[-4000:]
