"""Rows of attention are those of transformers' eager attention, and rollout is its product."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from random_model import TINY, random_completions

from skinflow_jax.models import attention
from skinflow_jax.models.attention_rows import attention_rows, with_completions
from skinflow_jax.models.inputs import build_inputs

ROWS = [[(6, 10)], [(4, 4), (2, 6)], []]
STEPS = (5, 3, 4)
BOUND = 1e-5


def eager_attention(reference, batch, completions):
    """float64 `[layers, heads, S, S]` of each row: its prompt and completion, without padding."""
    found = []
    reference.set_attn_implementation("eager")
    for (ids, images), steps in zip(batch.rows, completions, strict=True):
        whole = torch.tensor(np.concatenate([ids, steps]))[None].long()
        arrays = {"input_ids": whole, "attention_mask": torch.ones_like(whole)}
        if images:
            patches = np.concatenate([patches for patches, _ in images])
            arrays["pixel_values"] = torch.tensor(patches)
            arrays["image_grid_thw"] = torch.tensor([(1, *grid) for _, grid in images])
            is_image = whole == reference.config.image_token_id
            arrays["mm_token_type_ids"] = is_image.long()
        with torch.no_grad():
            layers = reference(**arrays, output_attentions=True).attentions
        found.append(np.stack([layer[0].double().numpy() for layer in layers]))
    return found


def rollout_of(heads):
    """The product over layers of (A + I) / 2, of whole matrices in float64."""
    product = np.eye(heads.shape[-1])
    for layer in heads:
        whole = layer.mean(axis=0) + np.eye(heads.shape[-1])
        product = whole / whole.sum(axis=1, keepdims=True) @ product
    return product


@pytest.fixture(scope="module")
def attended(make_pair, batch_of):
    """(inputs with a gap between prompt and completion, the model, eager attention, row by row)."""
    reference, model = make_pair(TINY, seed=1)
    batch = batch_of(ROWS)
    completions = [random_completions((n,), seed=n) for n in STEPS]
    inputs = build_inputs(
        [ids for ids, _ in batch.rows], [images for _, images in batch.rows], TINY, length=40
    )
    padded, mask = np.zeros((3, 6), np.int32), np.arange(6) < np.array(STEPS)[:, None]
    padded[mask] = np.concatenate(completions)
    whole = with_completions(inputs, jnp.asarray(padded), jnp.asarray(mask))
    return whole, model, eager_attention(reference, batch, completions)


def queries_of(inputs):
    """Of each row the last token of the prompt, and the mean of the first three that follow."""
    mask, prompt = np.asarray(inputs.token_mask), 40
    queries = np.zeros((len(mask), 2, mask.shape[1]), np.float32)
    for row, query in zip(mask, queries, strict=True):
        query[0, np.flatnonzero(row[:prompt])[-1]] = 1
        query[1, prompt : prompt + 3] = 1 / 3
    return queries


def test_rows_of_every_layer_and_key_head_equal_those_of_transformers(attended):
    inputs, model, expected = attended
    queries = queries_of(inputs)
    rows, _ = attention_rows(model, inputs, queries)
    config = TINY.text
    for found, mask, query, heads in zip(
        np.asarray(rows), np.asarray(inputs.token_mask), queries, expected, strict=True
    ):
        grouped = heads.reshape(config.num_layers, config.num_kv_heads, -1, *heads.shape[2:])
        wanted = np.einsum("qc,lkcs->lkqs", query[:, mask], grouped.mean(axis=2))
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(found[..., mask], wanted, rtol=0, atol=BOUND)
        assert not found[..., ~mask].any()


def test_rollout_equals_the_product_of_whole_matrices(attended):
    inputs, model, expected = attended
    queries = queries_of(inputs)
    _, rolled = attention_rows(model, inputs, queries)
    for found, mask, query, heads in zip(
        np.asarray(rolled), np.asarray(inputs.token_mask), queries, expected, strict=True
    ):
        wanted = query[:, mask] @ rollout_of(heads)
        np.testing.assert_allclose(found[:, mask], wanted, rtol=0, atol=BOUND)
        assert not found[:, ~mask].any()


def test_whole_rows_sum_to_one_and_the_share_of_the_image_is_less(attended):
    inputs, model, _ = attended
    image = np.asarray(inputs.image_slots >= 0)[:, None]
    rows, rolled = attention_rows(model, inputs, queries_of(inputs))
    for found in (np.asarray(rows).mean(axis=(1, 2)), np.asarray(rolled)):
        np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-6)
        share = np.where(image, found, 0).sum(axis=-1)
        assert (share[:2] > 0).all() and (share < 1).all() and not share[2].any()


def test_a_query_of_no_position_is_zero(attended):
    inputs, model, _ = attended
    rows, rolled = attention_rows(model, inputs, np.zeros((3, 2, 46), np.float32))
    assert not np.asarray(rows).any() and not np.asarray(rolled).any()


def test_chunks_of_queries_change_nothing(attended, monkeypatch):
    inputs, model, _ = attended
    queries = queries_of(inputs)
    expected = attention_rows(model, inputs, queries)
    monkeypatch.setattr(attention, "SCORES_BUDGET", 3 * 4 * 46 * 7)
    jax.clear_caches()
    for a, b in zip(attention_rows(model, inputs, queries), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    jax.clear_caches()
