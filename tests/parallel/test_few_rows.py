"""Fewer rows than devices, and rows that devices do not divide."""

import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh

from skinflow_jax.models import attention
from skinflow_jax.models.attention import attend
from skinflow_jax.parallel import batch_shards

MESH = AbstractMesh((4, 2, 1), ("data", "fsdp", "tensor"))


@pytest.mark.parametrize(("rows", "shards"), [(None, 8), (16, 8), (12, 4), (2, 2), (1, 1), (3, 1)])
def test_a_batch_is_divided_by_the_axes_that_divide_it(rows, shards):
    assert batch_shards(rows) == 1
    with jax.sharding.use_abstract_mesh(MESH):
        assert batch_shards(rows) == shards


@pytest.mark.parametrize(("rows", "chunks"), [(1, 2), (2, 2), (3, 4), (8, 2), (16, 4)])
def test_attention_counts_the_scores_that_one_device_holds(rows, chunks, monkeypatch):
    """One row on a device: 4 queries of 2 heads, 8 keys each; 32 scores of the 64 at a time."""
    monkeypatch.setattr(attention, "SCORES_BUDGET", 32)
    q = jax.ShapeDtypeStruct((rows, 2, 1, 1, 4, 8), jnp.float32)
    keys = jax.ShapeDtypeStruct((rows, 2, 1, 8, 8), jnp.float32)
    mask = jnp.ones((4, 8), bool)
    with jax.sharding.use_abstract_mesh(MESH):
        jaxpr = jax.make_jaxpr(lambda q, keys: attend(q, (keys, keys), mask))(q, keys)
    assert re.findall(r"length=(\d+)", str(jaxpr)) == [str(chunks)]


@pytest.mark.slow
def test_logits_of_three_rows_on_eight_devices_are_those_of_one(on_devices):
    on_devices(8, "few_rows.py")
