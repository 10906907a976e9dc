"""Three rows on eight devices: logits are those of one device. Run by test_few_rows.py."""

import jax
import numpy as np
from random_model import SHALLOW, random_prompt, spread_model

from skinflow_jax.models.forward import forward_logits
from skinflow_jax.parallel import MeshConfig, make_mesh, place_module, use_mesh


def main() -> None:
    model, rng = spread_model(SHALLOW), np.random.default_rng(0)
    prompts = [random_prompt([(4, 6)], SHALLOW, rng) for _ in range(3)]
    arrays = {
        "input_ids": np.stack([ids for ids, _ in prompts]),
        "pixel_values": np.concatenate([patches for _, [(patches, _)] in prompts]),
        "image_grid_thw": np.array([(1, 4, 6)] * 3),
    }
    expected = forward_logits(model, **arrays)
    mesh = make_mesh(MeshConfig(data=4, fsdp=2), jax.devices())
    with use_mesh(mesh):
        found = forward_logits(place_module(model, mesh), **arrays)
    np.testing.assert_allclose(found, expected, atol=1e-5)


if __name__ == "__main__":
    main()
