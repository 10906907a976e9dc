"""One layout of the devices: what is beside what, on slices that exist and on those that do not."""

import itertools
import types

import jax
import pytest

from skinflow_jax.errors import ConfigError
from skinflow_jax.parallel import MeshConfig, make_mesh, process_part

# Chips of a host along x, y, z; chips of a slice likewise; devices of a chip. A host of a TPU7x has
# two processes in GKE's tools, one here.
SLICES = {
    "v5e 2x2": ((2, 2, 1), (2, 2, 1), 1),
    "v5e 4x8": ((2, 2, 1), (4, 8, 1), 1),
    "v5e 16x16": ((2, 2, 1), (16, 16, 1), 1),
    "v5p 2x2x4": ((2, 2, 1), (2, 2, 4), 1),
    "v5p 4x4x8": ((2, 2, 1), (4, 4, 8), 1),
    "v6e 2x4 of one host": ((2, 4, 1), (2, 4, 1), 1),
    "v6e 4x4": ((2, 2, 1), (4, 4, 1), 1),
    "v6e 8x16": ((2, 2, 1), (8, 16, 1), 1),
    "v6e 16x16": ((2, 2, 1), (16, 16, 1), 1),
    "7x 2x2x2": ((2, 2, 1), (2, 2, 2), 2),
    "7x 4x4x4": ((2, 2, 1), (4, 4, 4), 2),
}


def device(number, process=0, platform="tpu", **more):
    return types.SimpleNamespace(id=number, process_index=process, platform=platform, **more)


def tpu(host, chips, cores, slices=1):
    """Devices of `slices` slices, in the torus' order: rows of hosts are torn apart in it."""
    found, along = [], [c // h for c, h in zip(chips, host, strict=True)]
    for part in range(slices):
        for z in range(chips[2]):
            for y in range(chips[1]):
                for x in range(chips[0]):
                    a, b, c = (v // h for v, h in zip((x, y, z), host, strict=True))
                    process = (c * along[1] + b) * along[0] + a
                    process += part * along[0] * along[1] * along[2]
                    for core in range(cores):
                        where = {"coords": (x, y, z), "core_on_chip": core, "slice_index": part}
                        found.append(device(len(found), process, **where))
    return found


def rows(mesh):
    """Devices by their row of the batch."""
    return mesh.devices.reshape(-1, mesh.devices.shape[-1])


@pytest.fixture(autouse=True)
def any_device(monkeypatch):
    """jax's own mesh takes none but jax's own devices."""
    monkeypatch.setattr(
        "skinflow_jax.parallel.mesh.Mesh",
        lambda devices, names, axis_types: types.SimpleNamespace(
            devices=devices, axis_names=names, shape=dict(zip(names, devices.shape, strict=True))
        ),
    )


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize("slices", [1, 2])
def test_rows_of_the_batch_lie_within_a_process_and_slices_outermost(name, slices):
    host, chips, cores = SLICES[name]
    devices = tpu(host, chips, cores, slices)
    mesh = make_mesh(MeshConfig(fsdp=2, tensor=2), devices)
    assert mesh.axis_names == ("slice", "data", "fsdp", "tensor")
    assert mesh.shape["slice"] == slices
    assert sorted(d.id for d in mesh.devices.flat) == list(range(len(devices)))
    for row in rows(mesh):
        assert len({d.process_index for d in row}) == 1
    for number, part in enumerate(mesh.devices):
        assert {d.slice_index for d in part.flat} == {number}
    # A process is met once: what it brings of a batch is one run of rows.
    met = [d.process_index for d in mesh.devices.flat]
    assert len([1 for a, b in itertools.pairwise(met) if a != b]) == len(set(met)) - 1


@pytest.mark.parametrize("chips", [(4, 4, 1), (4, 8, 1), (8, 8, 1), (8, 16, 1), (16, 16, 1)])
def test_the_7b_configs_start_on_v6e_from_16_chips(chips):
    mesh = make_mesh(MeshConfig(fsdp=4, tensor=4), tpu((2, 2, 1), chips, 1))
    for row in rows(mesh):
        assert len({d.process_index for d in row}) == 1 and len(row) == 4


def test_rows_of_a_process_follow_the_mesh_not_the_number_of_the_process(monkeypatch):
    """Where slices have been numbered against their processes."""
    devices = [device(i, i // 2, slice_index=1 - i // 4, coords=(i, 0, 0)) for i in range(8)]
    mesh = make_mesh(MeshConfig(), devices)
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
        (MeshConfig(slice=2), "mesh.slice=2: the devices are of 1 slices; leave it at -1"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused_with_the_nearest_that_can(config, message):
    with pytest.raises(ConfigError, match=message):
        make_mesh(config, tpu((2, 2, 1), (4, 4, 1), 1))


def test_the_mesh_that_is_named_works():
    devices = tpu((2, 2, 1), (4, 8, 1), 1)
    for asked in (MeshConfig(fsdp=5), MeshConfig(tensor=8), MeshConfig(data=9, fsdp=7, tensor=4)):
        with pytest.raises(ConfigError) as error:
            make_mesh(asked, devices)
        named = str(error.value).rpartition(": ")[2].split()
        sizes = {k: int(v) for k, v in (word.split("=") for word in named)}
        assert make_mesh(MeshConfig(**sizes), devices).devices.size == 32


def test_processes_with_unequally_many_devices_are_refused():
    devices = [device(i, i // 3) for i in range(8)]
    with pytest.raises(ConfigError, match="process 0 has 3, process 1 has 3, process 2 has 2"):
        make_mesh(MeshConfig(), devices)


def test_on_gpus_the_person_says_what_is_a_slice():
    """Their slice is their machine, of which InfiniBand may connect several."""
    devices = [device(i, i // 4, "gpu", slice_index=i // 4) for i in range(8)]
    assert make_mesh(MeshConfig(fsdp=8), devices).shape["slice"] == 1
    assert make_mesh(MeshConfig(slice=2, fsdp=4), devices).shape["slice"] == 2
    with pytest.raises(ConfigError, match=r"mesh\.slice=3: 2 processes"):
        make_mesh(MeshConfig(slice=3), devices)
