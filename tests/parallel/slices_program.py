"""What libtpu says of each slice against slices.py, and a mesh over it; one line for each fault.

Run for test_slices.py with libtpu installed.
"""

from jax.experimental import topologies
from slices import SLICES, described, devices, faults, meshes

from skinflow_jax.parallel import MeshConfig, make_mesh

for one in SLICES:
    for number in (1, 2):
        more = {"num_slices": 2} if number == 2 else {}
        real = topologies.get_topology_desc(
            one.name, platform="tpu", chips_per_host_bounds=one.process, **more
        ).devices
        # libtpu does not order them by process where slices are several.
        if sorted(map(described, real)) != sorted(map(described, devices(one, number))):
            print(f"{number} x {one.id}: {[*map(described, real)][:16]}")
        in_process = sum(device.process_index == 0 for device in real)
        for fsdp, tensor in meshes(len(real) // number, in_process):
            mesh = make_mesh(MeshConfig(fsdp=fsdp, tensor=tensor), real)
            for fault in faults(mesh, real):
                print(f"{number} x {one.id} fsdp={fsdp} tensor={tensor}: {fault}")
