"""A Hugging Face folder and an adapter are on any mesh what they are on one device."""

import numpy as np
import pytest
from safetensors.numpy import load_file


@pytest.mark.slow
def test_folders_and_adapters_are_the_same_on_every_mesh_bit_for_bit(on_devices, tmp_path):
    on_devices(4, "hf_on_mesh.py", tmp_path)  # which compares what is read, bit for bit
    spread, single = (
        load_file(tmp_path / name / "model-00001-of-00001.safetensors")
        for name in ("spread", "single")
    )
    assert spread.keys() == single.keys()
    for name, weights in single.items():
        # Merging multiplies the adapter's factors: a shard's product is another kernel's, which
        # on some processors fuses multiply and add. Two units in the last place of 1.
        atol = 2 * np.finfo(np.float32).eps * max(1.0, float(np.abs(weights).max()))
        np.testing.assert_allclose(spread[name], weights, rtol=0, atol=atol, err_msg=name)
