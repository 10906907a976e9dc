"""The mesh that a config asks for: which rows a process brings, and what is refused."""

import types

import jax
import pytest
from slices import Slice, devices

from skinflow_jax.errors import ConfigError
from skinflow_jax.parallel import MeshConfig, make_mesh, process_part

pytestmark = pytest.mark.usefixtures("any_device")


def device(number, process=0, platform="tpu", **more):
    return types.SimpleNamespace(id=number, process_index=process, platform=platform, **more)


def test_rows_of_a_process_follow_the_mesh_not_the_number_of_the_process(monkeypatch):
    """Where slices have been numbered against their processes."""
    given = [device(i, i // 2, slice_index=1 - i // 4, coords=(i, 0, 0)) for i in range(8)]
    mesh = make_mesh(MeshConfig(), given)
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    parts = []
    for index in range(4):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        parts.append(process_part(mesh))
    assert parts == [(2, 4), (3, 4), (0, 4), (1, 4)]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MeshConfig(data=3, fsdp=2, tensor=2), "16 devices of 4 processes: .* must be 16; .*=4"),
        (MeshConfig(fsdp=3), "fsdp=3 tensor=1 does not cover 16 .* nearest that works: .*fsdp=4"),
        (MeshConfig(fsdp=2, tensor=8), "tensor=8 would reach over several .* 4 devices each"),
        (MeshConfig(slice=2), "mesh.slice=2: the devices are of 1 slice.s.; leave it at -1"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused_with_the_nearest_that_can(config, message):
    with pytest.raises(ConfigError, match=message):
        make_mesh(config, devices(Slice("v6e", (4, 4, 1))))


def test_the_mesh_that_is_named_works():
    of_slice = devices(Slice("v6e", (4, 8, 1)))
    for asked in (MeshConfig(fsdp=5), MeshConfig(tensor=8), MeshConfig(data=9, fsdp=7, tensor=4)):
        with pytest.raises(ConfigError) as error:
            make_mesh(asked, of_slice)
        named = str(error.value).rpartition(": ")[2].split()
        sizes = {k: int(v) for k, v in (word.split("=") for word in named)}
        assert make_mesh(MeshConfig(**sizes), of_slice).devices.size == 32


def test_processes_with_unequally_many_devices_are_refused():
    given = [device(i, i // 3) for i in range(8)]
    with pytest.raises(ConfigError, match="process 0 has 3, process 1 has 3, process 2 has 2"):
        make_mesh(MeshConfig(), given)


def test_on_gpus_the_person_says_what_is_a_slice():
    """Their slice is their machine, of which InfiniBand may connect several."""
    given = [device(i, i // 4, "gpu", slice_index=i // 4) for i in range(8)]
    assert make_mesh(MeshConfig(fsdp=8), given).shape["slice"] == 1
    assert make_mesh(MeshConfig(slice=2, fsdp=4), given).shape["slice"] == 2
    with pytest.raises(ConfigError, match=r"mesh\.slice=3: 2 processes"):
        make_mesh(MeshConfig(slice=3), given)
