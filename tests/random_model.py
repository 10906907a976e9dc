"""A tiny model whose logits have a spread of about 1, and prompts with images for it.

At the usual initialisation all logits are nearly equal, and a wrong model would look right.
"""

import jax
import jax.numpy as jnp
import numpy as np
from shallow import SHALLOW as SHALLOW

from skinflow_jax.models.config import VlmConfig, model_config
from skinflow_jax.models.inputs import ModelInputs, build_inputs, token_count
from skinflow_jax.models.vlm import Vlm, abstract_model

TINY = model_config("tiny")


def spread_model(config: VlmConfig = TINY, seed: int = 0) -> Vlm:
    """Weights of spread 0.1, biases of spread 0.3, norm scales around 1."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        name = jax.tree_util.keystr(path)
        spread = 0.3 if "bias" in name or "scale" in name else 0.1
        values = rng.normal(size=leaf.shape) * spread + (1.0 if "scale" in name else 0.0)
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map_with_path(fill, abstract_model(config))


def listening(model: Vlm, seed: int = 0) -> Vlm:
    """`model` with adapters that change what it computes: fresh ones do not."""
    rng = np.random.default_rng(seed)

    def fill(path, x):
        if "lora_b" not in jax.tree_util.keystr(path):
            return x
        return jnp.asarray(rng.normal(size=x.shape) * 0.1, x.dtype)

    return jax.tree_util.tree_map_with_path(fill, model)


@jax.jit
def copied(tree):
    """Arrays of one's own, for a state that is donated: one program, not one a shape."""
    return jax.tree.map(jnp.copy, tree)


def random_prompt(grids, config: VlmConfig, rng) -> tuple[np.ndarray, list]:
    """Ids and images `[(patches, grid)]` of a prompt: text, then each image followed by text."""
    ids, images = list(rng.integers(10, 1000, 5)), []
    for grid in grids:
        placeholders = [config.image_token_id] * token_count(grid, config.vision)
        ids += [config.vision_start_token_id, *placeholders, config.vision_end_token_id]
        ids += list(rng.integers(10, 1000, 3))
        patches = rng.normal(size=(grid[0] * grid[1], config.vision.patch_dim))
        images.append((patches.astype(np.float32), grid))
    return np.array(ids), images


def random_inputs(rows, config: VlmConfig = TINY, seed: int = 0, **static) -> ModelInputs:
    """Model inputs of one random prompt for each list of grids in `rows`."""
    rng = np.random.default_rng(seed)
    prompts = [random_prompt(grids, config, rng) for grids in rows]
    return build_inputs([ids for ids, _ in prompts], [i for _, i in prompts], config, **static)


def random_completions(shape, seed: int = 0) -> np.ndarray:
    """Ids of ordinary text tokens."""
    return np.random.default_rng(seed).integers(10, 1000, shape).astype(np.int32)
