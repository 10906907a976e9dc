"""Our model is transformers' Qwen2.5-VL: same weights, same arrays, same logits and tokens.

2e-5 at logits of spread 1 is the bound: PyTorch against itself under another padding differs by
3e-6, and every layer rounds once more.
"""

import dataclasses

import jax
import numpy as np
import pytest
import torch
from random_model import TINY

from skinflow_jax.models.forward import forward_logits
from skinflow_jax.models.inputs import build_inputs
from skinflow_jax.rl.sampler import sample
from skinflow_jax.rl.token_choice import GREEDY

BOUND = 2e-5


def assert_same_logits(pair, batch, logits_of_reference):
    reference, model = pair
    expected, found = logits_of_reference(reference, batch), forward_logits(model, **batch.arrays())
    real = batch.attention_mask.astype(bool)
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert 0.5 < expected[real].std() < 2.5
    np.testing.assert_allclose(found[real], expected[real], rtol=0, atol=BOUND)
    assert not found[~real].any()


@pytest.mark.parametrize(
    "rows",
    [
        [[]],
        [[(6, 10)]],
        [[(18, 26)], [(4, 4)]],
        [[(4, 6), (10, 12)], []],
        pytest.param([[(8, 8)]], marks=pytest.mark.slow),
        pytest.param([[(2, 34)], [], [(16, 8), (2, 2), (8, 24)]], marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("left", [False, True], ids=["right_padded", "left_padded"])
def test_logits_equal_those_of_transformers(pair, batch_of, logits_of_reference, rows, left):
    assert_same_logits(pair, batch_of(rows, left=left), logits_of_reference)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(TINY, text=dataclasses.replace(TINY.text, tie_word_embeddings=True)),
        dataclasses.replace(
            TINY,
            vision=dataclasses.replace(TINY.vision, depth=5, full_attention_blocks=(0, 4)),
            text=dataclasses.replace(
                TINY.text, num_layers=3, num_kv_heads=2, num_heads=4, mrope_section=(4, 6, 6)
            ),
        ),
    ],
    ids=["tied_embeddings", "other_depths_and_heads"],
)
def test_logits_of_other_shapes_of_model_equal_too(
    make_pair, batch_of, logits_of_reference, config
):
    batch = batch_of([[(6, 10)], [(4, 4)]], config=config)
    assert_same_logits(make_pair(config, seed=1), batch, logits_of_reference)


def test_thirty_two_greedy_tokens_equal_those_of_transformers(pair, batch_of):
    reference, model = pair
    batch = batch_of([[(6, 10)], [], [(4, 6), (10, 12)]], left=True)
    with torch.no_grad():
        generated = reference.generate(
            **batch.tensors(TINY.image_token_id),
            max_new_tokens=32,
            do_sample=False,
            eos_token_id=list(TINY.eos_token_ids),
            pad_token_id=TINY.pad_token_id,
        ).numpy()[:, batch.input_ids.shape[1] :]
    inputs = build_inputs([ids for ids, _ in batch.rows], [i for _, i in batch.rows], TINY)
    rollout = sample(
        model, inputs, jax.random.key(0), np.arange(3), GREEDY, group_size=1, max_tokens=32
    )
    np.testing.assert_array_equal(np.asarray(rollout.tokens)[:, 0], generated)
    assert np.asarray(rollout.mask).sum() > 32
