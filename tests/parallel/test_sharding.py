"""Logical names to mesh axes, meshes to devices, and what is refused."""

import types

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from skinflow_jax.errors import ConfigError
from skinflow_jax.parallel import MeshConfig, check_divides, place_batch
from skinflow_jax.parallel.sharding import ROLLOUT_RULES, logical_spec


def mesh_of(data=1, fsdp=1, tensor=1):
    """What the rules and place_batch look at, without the devices."""
    return types.SimpleNamespace(shape={"data": data, "fsdp": fsdp, "tensor": tensor})


MESH = mesh_of(2, 4, 2)


@pytest.mark.parametrize(
    ("axes", "shape", "spec"),
    [
        (("embed", "mlp"), (64, 32), ("fsdp", "tensor")),
        (("vocab", "embed"), (64, 32), ("tensor", "fsdp")),
        (("embed", "heads", None), (3, 64, 4, 16), (None, "fsdp", "tensor", None)),
        (("batch", None, "embed"), (8, 5, 6), (("data", "fsdp"), None, None)),
    ],
    ids=["matrix", "table", "stacked", "activation"],
)
def test_names_are_looked_up_in_the_table(axes, shape, spec):
    assert logical_spec(axes, shape, MESH) == PartitionSpec(*spec)


def test_a_dimension_that_does_not_divide_stays_whole():
    assert logical_spec(("embed", "mlp"), (66, 32), MESH) == PartitionSpec(None, "tensor")
    assert logical_spec(("embed", "mlp"), (64, 33), MESH) == PartitionSpec("fsdp", None)
    assert logical_spec(("batch",), (6,), MESH) == PartitionSpec("data")


def test_an_axis_of_one_device_splits_nothing():
    assert logical_spec(("embed", "mlp"), (64, 32), mesh_of(8)) == PartitionSpec(None, None)


def test_the_sampler_keeps_the_embedding_axis_whole():
    spec = logical_spec(("embed", "mlp"), (64, 32), MESH, ROLLOUT_RULES)
    assert spec == PartitionSpec(None, "tensor")


@pytest.mark.parametrize("axes", [("mlp", "heads"), ("batch", "embed"), ("embed", "embed")])
def test_two_axes_of_one_array_on_the_same_mesh_axis_are_refused(axes):
    with pytest.raises(ConfigError, match="map to the same mesh axis") as error:
        logical_spec(axes, (64, 32), MESH)
    assert all(repr(axis) in str(error.value) for axis in axes)


def test_a_batch_that_does_not_divide_is_refused_with_its_numbers():
    message = "a batch of 6 does not divide over mesh data=2 x fsdp=4: .* multiple of 8"
    with pytest.raises(ConfigError, match=message):
        place_batch({"ids": np.zeros((6, 3))}, MESH)


def weights(**shapes):
    """A tree of parameters by their logical axes: embed_mlp=(64, 32)."""
    return {
        name: nnx.Param(jax.ShapeDtypeStruct(shape, np.float32), axes=tuple(name.split("_")))
        for name, shape in shapes.items()
    }


def test_what_an_axis_leaves_whole_is_refused_with_the_sizes_that_work():
    """Vision blocks of 3,420 hidden units on eight devices: each would hold all of them."""
    model = weights(embed_mlp=(1280, 3420), vocab_embed=(4096, 1280))
    with pytest.raises(ConfigError) as error:
        check_divides(model, mesh_of(1, 4, 8))
    assert "mesh.tensor=8 does not divide mlp [3420]: 45" in str(error.value)
    assert str(error.value).endswith("what works: [1, 2, 4]")
    assert check_divides(model, mesh_of(1, 4, 4)) == check_divides(model, None) == []


def test_a_small_remainder_is_told():
    model = weights(embed=(66,), embed_mlp=(1024, 1024))
    (line,) = check_divides(model, mesh_of(1, 4, 1))
    assert line == "mesh.fsdp=4 does not divide embed [66]: 0.01% of the weights are replicated"


@pytest.mark.parametrize("axis", ["slice", "data", "fsdp", "tensor"])
@pytest.mark.parametrize("devices", [0, -2, 10**12, 1.0])
def test_an_axis_of_no_devices_is_named(axis, devices):
    with pytest.raises(ConfigError, match=rf"mesh\.{axis}={devices} must be a whole number from 1"):
        MeshConfig(**{axis: devices})
