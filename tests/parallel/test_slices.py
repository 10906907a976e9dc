"""One device layout on every slice of v5e, v5p, v6e and 7x from 4 to 256 chips, and on two each."""

import types

import numpy as np
import pytest
from slices import SLICES, Slice, devices, faults, meshes

from skinflow_jax.errors import ConfigError
from skinflow_jax.parallel import MeshConfig, make_mesh


@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.parametrize("one", SLICES, ids=lambda one: one.id)
def test_rows_lie_in_a_process_processes_own_whole_rows_and_slices_are_outermost(
    one, slices, any_device
):
    asked = devices(one, slices)
    in_process = sum(device.process_index == 0 for device in asked)
    for fsdp, tensor in meshes(len(asked) // slices, in_process):
        mesh = make_mesh(MeshConfig(fsdp=fsdp, tensor=tensor), asked)
        assert mesh.axis_names == ("slice", "data", "fsdp", "tensor")
        assert (mesh.shape["slice"], mesh.shape["fsdp"]) == (slices, fsdp)
        assert faults(mesh, asked) == []


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 1, 4, 4), "a row over processes 0 and [1]"), ((1, 16, 1, 1), "rows lie apart")],
)
def test_a_layout_that_follows_the_torus_is_at_fault(shape, said):
    """As jax.make_mesh lays a v6e 4x4."""
    asked = sorted(devices(Slice("v6e", (4, 4, 1))), key=lambda device: device.id)
    mesh = types.SimpleNamespace(devices=np.array(asked).reshape(shape))
    assert said in " ".join(faults(mesh, asked))


def test_slices_of_different_sizes_are_refused(any_device):
    asked = devices(Slice("v6e", (4, 4, 1)), 2)[:-4]
    with pytest.raises(ConfigError, match="slice 0 has 16, slice 1 has 12"):
        make_mesh(MeshConfig(), asked)


def test_the_slices_are_as_libtpu_describes_them(with_libtpu):
    assert with_libtpu("slices_program.py") == ""
