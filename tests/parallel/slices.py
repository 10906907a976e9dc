"""TPU slices as libtpu describes them, and what a mesh over one must be.

The numbers, processes, coordinates, cores and slices of the devices are those of
`jax.experimental.topologies.get_topology_desc` with libtpu 0.0.42.1, in its order;
test_slices.py compares them with the libtpu that is installed.
"""

import itertools
import math
import types
from dataclasses import dataclass


@dataclass(frozen=True)
class Slice:
    """`chips` along x, y, z; those of one process likewise; JAX's devices on each chip."""

    kind: str
    chips: tuple[int, int, int]
    process: tuple[int, int, int] = (2, 2, 1)
    cores: int = 1

    @property
    def name(self) -> str:
        flat = self.kind in ("v5e", "v6e")
        return f"{self.kind}:{'x'.join(map(str, self.chips[:2] if flat else self.chips))}"

    @property
    def id(self) -> str:
        usual = self.process == (2, 2, 1)
        return self.name if usual else f"{self.name} by {'x'.join(map(str, self.process))}"


FLAT = [(2, 2, 1), (2, 4, 1), (4, 4, 1), (4, 8, 1), (8, 8, 1), (8, 16, 1), (16, 16, 1)]
DEEP = [(2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8), (4, 8, 8)]
SLICES = [
    *(Slice(kind, chips) for kind in ("v5e", "v6e") for chips in FLAT),
    *(Slice("v5p", chips) for chips in DEEP),
    # A process for each machine, as libtpu has it unless told otherwise.
    *(Slice("tpu7x", chips, cores=2) for chips in DEEP),
    # A process for each of the two NUMA nodes of a machine.
    *(Slice("tpu7x", chips, (1, 2, 1), 2) for chips in DEEP),
    # A machine of eight chips.
    *(Slice(kind, (2, 4, 1), (2, 4, 1)) for kind in ("v5e", "v6e")),
]


def devices(one: Slice, slices: int = 1) -> list:
    """Stand-ins for the devices of so many slices of one size."""
    along = [c // p for c, p in zip(one.chips, one.process, strict=True)]
    found = []
    for part in range(slices):
        for chip, (z, y, x) in enumerate(itertools.product(*map(range, reversed(one.chips)))):
            a, b, c = (v // p for v, p in zip((x, y, z), one.process, strict=True))
            process = (c * along[1] + b) * along[0] + a + part * math.prod(along)
            for core in range(one.cores):
                number = chip * one.cores + core
                where = {"coords": [x, y, z], "core_on_chip": core, "process_index": process}
                if slices > 1:
                    where |= {"slice_index": part}
                    number += 100_000 * (part + 1)
                found.append(types.SimpleNamespace(id=number, platform="tpu", **where))
    return sorted(found, key=lambda device: (device.process_index, device.id))


def described(device) -> tuple:
    """What the layout reads of a device."""
    return (
        device.id,
        device.process_index,
        tuple(device.coords),
        device.core_on_chip,
        getattr(device, "slice_index", None),
    )


def meshes(count: int, in_process: int):
    """(fsdp, tensor) that a slice of `count` devices may be used with."""
    for tensor in (n for n in (1, 2, 4, 8) if in_process % n == 0):
        for fsdp in sorted({1, 2, 4, count // tensor}):
            if count % (fsdp * tensor) == 0:
                yield fsdp, tensor


def faults(mesh, asked: list) -> list[str]:
    """What is wrong with a mesh over the devices that were asked for, empty for a good one."""
    found, grid = [], mesh.devices
    rows = grid.reshape(-1, grid.shape[-1])
    if {device.id for device in grid.flat} != {device.id for device in asked}:
        found.append("not every device once")
    for number, part in enumerate(grid):
        if {getattr(device, "slice_index", None) or 0 for device in part.flat} != {number}:
            found.append(f"slice {number} holds devices of others")
    owners = []
    for row in rows:
        owner, *others = {device.process_index for device in row}
        owners.append(owner)
        if others:
            found.append(f"a row over processes {owner} and {others}")
        # Chips of a row lie together: its box holds no others.
        box = [max(v) - min(v) + 1 for v in zip(*(device.coords for device in row), strict=True)]
        if math.prod(box) != len({tuple(device.coords) for device in row}):
            found.append(f"a row over a box of {box} chips")
    runs = [owner for owner, _ in itertools.groupby(owners)]
    if len(runs) != len(set(runs)):
        found.append("a process whose rows lie apart")
    return found
