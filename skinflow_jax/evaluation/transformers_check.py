"""The exported folder against transformers and torch, where torch is installed (tests, demo)."""

from pathlib import Path

import numpy as np

from skinflow_jax.data.chat import TASKS, prompt_ids
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.forward import forward_logits
from skinflow_jax.models.vlm import Vlm


def max_logit_difference(model: Vlm, tokenizer, folder: Path, *, seed: int = 0) -> float:
    """Largest |logit difference| between `model` and what transformers loads from `folder`.

    One prompt for each task about a random image. Needs torch.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    config: VlmConfig = model.config
    grid = (8, 6)
    rng = np.random.default_rng(seed)
    rows = [prompt_ids(tokenizer, task, [grid], config) for task in TASKS]
    length = max(map(len, rows))
    ids = np.full((len(rows), length), config.pad_token_id)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    arrays = {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": rng.normal(size=(len(rows) * grid[0] * grid[1], config.vision.patch_dim)),
        "image_grid_thw": np.array([(1, *grid)] * len(rows)),
    }
    arrays["pixel_values"] = arrays["pixel_values"].astype(np.float32)
    ours = forward_logits(model, **arrays)
    # The code that a DVE folder brings is the one that we have just put there.
    theirs = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=True
    ).eval()
    with torch.no_grad():
        logits = theirs(
            **{name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()},
            mm_token_type_ids=torch.from_numpy((ids == config.image_token_id).astype(np.int64)),
        ).logits.numpy()
    seen = mask.astype(bool)
    return float(np.abs(logits[seen] - ours[seen]).max())
