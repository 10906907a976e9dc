"""Two processes read folders onto one mesh: each its own bytes, and both stop where one must."""

import shutil
from pathlib import Path

import pytest
from both_processes import both_processes
from random_model import SHALLOW, listening, spread_model
from safetensors.numpy import load_file, save_file

from skinflow_jax.checkpoints.hf_adapter import save_adapter
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.models.config import LoraConfig
from skinflow_jax.models.lora import with_lora

EMBEDDING = "model.embed_tokens.weight"


@pytest.mark.slow
def test_two_processes_read_their_own_parts_and_agree_on_damage(tmp_path):
    folder, broken, adapter = (tmp_path / name for name in ("model", "broken", "adapter"))
    model = spread_model(SHALLOW)
    save_pretrained(model, folder)
    save_adapter(listening(with_lora(model, LoraConfig(rank=4))), adapter, base=None)
    shutil.copytree(folder, broken)
    (file,) = broken.glob("*.safetensors")
    tensors = load_file(file)
    tensors[EMBEDDING][7, -1] = float("inf")
    save_file(tensors, file, metadata={"format": "pt"})
    both_processes(Path(__file__).with_name("hf_two_processes.py"), folder, broken, adapter)
