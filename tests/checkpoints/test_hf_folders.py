"""Ten folders that transformers itself saves: equal logits, and every tensor out as it came in."""

import json

import numpy as np
import pytest
import torch
from hf_files import GENERATION, TEXT, doubled, flat, processor, small_config, write
from transformers import Qwen2_5_VLForConditionalGeneration

import skinflow_jax
from skinflow_jax.checkpoints.hf_folder import read_folder

# As the published sizes differ: a tied head and one key and value head, an untied one and two.
LIKE = {
    "3b": small_config(tie_word_embeddings=True, num_key_value_heads=1),
    "7b": small_config(),
}
FOLDERS = {
    **{
        (size, shape, "float32", True): None
        for size in LIKE
        for shape in ("new", "flat", "doubled")
    },
    **{(size, "new", "bfloat16", True): None for size in LIKE},
    **{(size, "flat", "float32", False): None for size in LIKE},
}
SHAPES = {"new": lambda config: config, "flat": flat, "doubled": doubled}


def test_there_are_ten():
    assert len(FOLDERS) == 10


@pytest.fixture(scope="module")
def models():
    """transformers' models, of weights under which logits have a spread of about 1."""
    found = {}
    for size, config in LIKE.items():
        generator = torch.Generator().manual_seed(3)
        model = Qwen2_5_VLForConditionalGeneration(config).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                noise = torch.randn(p.shape, generator=generator) * (0.1 if p.ndim > 1 else 0.3)
                noise += 1.0 if "norm" in name or "ln_q" in name else 0.0
                p.copy_(noise.bfloat16())  # exact in both types
        found[size] = model
    return found


@pytest.fixture(scope="module")
def prompt():
    """One image of 4 x 6 patches between words."""
    rng = np.random.default_rng(0)
    ids = [*rng.integers(10, 1000, 5), 4, *[6] * 6, 5, *rng.integers(10, 1000, 4)]
    ids = np.array([ids])
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "pixel_values": rng.normal(size=(24, 1176)).astype(np.float32),
        "image_grid_thw": np.array([(1, 4, 6)]),
    }


@pytest.fixture(scope="module")
def expected(models, prompt):
    """transformers' logits by size."""
    tensors = {name: torch.from_numpy(value) for name, value in prompt.items()}
    tensors["mm_token_type_ids"] = (tensors["input_ids"] == 6).long()
    with torch.no_grad():
        return {size: model(**tensors).logits.numpy() for size, model in models.items()}


@pytest.fixture(params=FOLDERS, ids=lambda kind: "-".join(map(str, kind)))
def saved(request, models, tmp_path):
    """(size, folder as transformers saves it, whether with generation config and processor)."""
    size, shape, dtype, complete = request.param
    folder = tmp_path / "model"  # one name, so that one program serves all
    model = models[size].to(getattr(torch, dtype))
    model.save_pretrained(folder)
    models[size].to(torch.float32)
    (folder / "generation_config.json").unlink()
    stated = json.loads((folder / "config.json").read_text())
    write(folder, config=SHAPES[shape](stated))
    if complete:
        stated = GENERATION | {"eos_token_id": TEXT["eos_token_id"]}
        write(folder, generation_config=stated, processor_config=processor())
    return size, folder, complete


def test_a_folder_of_transformers_in_and_out(saved, expected, models, prompt, tmp_path):
    size, folder, complete = saved
    stated = read_folder(folder)
    assert stated.config.eos_token_ids == (3,) and (stated.pixels is None) == (not complete)
    model = skinflow_jax.load_pretrained(folder)
    found = skinflow_jax.forward_logits(model, **prompt)
    assert 0.3 < expected[size].std() < 3
    np.testing.assert_allclose(found, expected[size], rtol=0, atol=2e-5)

    out = tmp_path / "out"
    skinflow_jax.save_pretrained(model, out, source=stated.files)
    again, kind = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        out, dtype=torch.float32, output_loading_info=True
    )
    assert not kind["missing_keys"] and not kind["unexpected_keys"]
    before = models[size].state_dict()
    assert again.state_dict().keys() == before.keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert read_folder(out).config.text == stated.config.text
    if complete:
        assert again.generation_config.repetition_penalty == 1.05
        theirs = json.loads((out / "processor_config.json").read_text())
        assert theirs["video_processor"] == processor()["video_processor"]
