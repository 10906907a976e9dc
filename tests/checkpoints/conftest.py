"""The independent oracle: transformers' PyTorch Qwen2.5-VL with random weights."""

import dataclasses

import numpy as np
import pytest
import torch
from random_model import TINY, random_prompt
from transformers import (
    AutoModelForImageTextToText,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from skinflow_jax.checkpoints.hf_config import config_to_hf
from skinflow_jax.checkpoints.hf_import import load_pretrained


@dataclasses.dataclass
class ProcessorBatch:
    """What a Hugging Face processor gives; `rows` are the same prompts unpadded."""

    input_ids: np.ndarray
    attention_mask: np.ndarray
    pixel_values: np.ndarray | None
    image_grid_thw: np.ndarray | None
    rows: list

    def arrays(self):
        return {k: v for k, v in vars(self).items() if k != "rows"}

    def tensors(self, image_token_id):
        tensors = {k: torch.tensor(v) for k, v in self.arrays().items() if v is not None}
        if self.pixel_values is not None:
            tensors["mm_token_type_ids"] = (tensors["input_ids"] == image_token_id).long()
        return tensors


def processor_batch(rows, *, left=False, seed=0, config=TINY) -> ProcessorBatch:
    rng = np.random.default_rng(seed)
    prompts = [random_prompt(grids, config, rng) for grids in rows]
    length = max(len(ids) for ids, _ in prompts)
    ids = np.full((len(rows), length), config.pad_token_id, np.int64)
    mask = np.zeros_like(ids)
    for row, (tokens, _) in enumerate(prompts):
        here = slice(length - len(tokens), length) if left else slice(0, len(tokens))
        ids[row, here], mask[row, here] = tokens, 1
    images = [image for _, row in prompts for image in row]
    return ProcessorBatch(
        input_ids=ids,
        attention_mask=mask,
        pixel_values=np.concatenate([patches for patches, _ in images]) if images else None,
        image_grid_thw=np.array([(1, *grid) for _, grid in images]) if images else None,
        rows=prompts,
    )


def reference_logits(reference, batch: ProcessorBatch) -> np.ndarray:
    with torch.no_grad():
        return reference(**batch.tensors(reference.config.image_token_id)).logits.numpy()


def reference_model(config, seed=0):
    """Random weights under which logits have a spread of about 1."""
    fields = config_to_hf(config)
    reference = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(**{k: v for k, v in fields.items() if k != "architectures"})
    ).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in reference.named_parameters():
            noise = torch.randn(p.shape, generator=generator) * (0.1 if p.ndim > 1 else 0.3)
            p.copy_(noise + (1.0 if "norm" in name or "ln_q" in name else 0.0))
    return reference


@pytest.fixture(scope="session")
def batch_of():
    return processor_batch


@pytest.fixture(scope="session")
def logits_of_reference():
    return reference_logits


@pytest.fixture(scope="session")
def make_pair(tmp_path_factory):
    """(transformers' model, ours loaded from the folder that transformers saved)."""

    def make(config, seed=0):
        reference = reference_model(config, seed)
        folder = tmp_path_factory.mktemp("reference")
        reference.save_pretrained(folder)
        return reference, load_pretrained(folder)

    return make


@pytest.fixture(scope="session")
def pair(make_pair):
    return make_pair(TINY)


@pytest.fixture(scope="module")
def load_dynamic(tmp_path_factory):
    """`load_dynamic(folder, dtype)`: an exported dynamic model in PyTorch, by its own code."""
    modules = tmp_path_factory.mktemp("modules")

    def load(folder, dtype=torch.float32):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(modules))
            found, report = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=dtype, trust_remote_code=True, output_loading_info=True
            )
        assert not any(report.values()), report
        return found.eval()

    return load
