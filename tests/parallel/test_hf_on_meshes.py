"""A Hugging Face folder and an adapter are on any mesh what they are on one device."""

import pytest


@pytest.mark.slow
def test_folders_and_adapters_are_the_same_on_every_mesh_bit_for_bit(on_devices, tmp_path):
    on_devices(4, "hf_on_mesh.py", tmp_path)
    spread, single = (
        (tmp_path / name / "model-00001-of-00001.safetensors").read_bytes()
        for name in ("spread", "single")
    )
    assert spread == single
