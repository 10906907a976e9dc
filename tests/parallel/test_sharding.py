"""Logical names to mesh axes, meshes to devices, and what is refused."""

import types

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from skinflow_jax.errors import ConfigError
from skinflow_jax.parallel import MeshConfig, make_mesh, place_batch
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


def test_processes_that_would_have_to_share_a_row_are_refused(monkeypatch):
    """Two hosts bring 4 prompts each; the mesh, of one host's devices, has room for 4."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"mesh\.tensor=1 reaches over several hosts"):
        place_batch(np.zeros((4, 3)), make_mesh(MeshConfig(), jax.devices()[:1]))


@pytest.mark.parametrize(
    ("config", "devices", "shape"),
    [
        (MeshConfig(), 8, (8, 1, 1)),
        (MeshConfig(fsdp=2, tensor=2), 8, (2, 2, 2)),
        (MeshConfig(data=1, fsdp=3), 3, (1, 3, 1)),
    ],
)
def test_data_takes_the_devices_that_the_other_axes_leave(config, devices, shape):
    mesh = make_mesh(config, fake_devices(devices))
    assert mesh.axis_names == ("data", "fsdp", "tensor")
    assert mesh.devices.shape == shape


@pytest.mark.parametrize(
    ("config", "devices", "message"),
    [
        (MeshConfig(data=3), 8, "data=3 fsdp=1 tensor=1 does not cover 8 devices"),
        (MeshConfig(fsdp=3), 8, "data=-1 fsdp=3 tensor=1 does not cover 8 devices"),
        (MeshConfig(tensor=16), 8, "tensor=16 does not cover 8 devices"),
    ],
)
def test_a_mesh_that_does_not_cover_the_devices_is_refused(config, devices, message):
    with pytest.raises(ConfigError, match=message):
        make_mesh(config, fake_devices(devices))


@pytest.mark.parametrize("axis", ["data", "fsdp", "tensor"])
@pytest.mark.parametrize("devices", [0, -2, 10**12, 1.0])
def test_an_axis_of_no_devices_is_named(axis, devices):
    with pytest.raises(ConfigError, match=rf"mesh\.{axis}={devices} must be a whole number from 1"):
        MeshConfig(**{axis: devices})


def fake_devices(count):
    """Stand-ins: a mesh only arranges them."""
    return [object() for _ in range(count)]
