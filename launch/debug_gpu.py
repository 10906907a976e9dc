#!/usr/bin/env python3
"""A minute of looking at the GPUs of this machine; needs only jax and numpy.

python launch/debug_gpu.py                            a line a check, and what to do if it fails
python launch/debug_gpu.py --platform=cpu --size=256  the same checks where there is no GPU

Exit codes: 0 all well, 1 a check failed, 2 there is no such device.
"""

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
import time

import numpy as np


class Failed(Exception):
    """A check that did not hold: what was found, and what to do."""


def versions(_) -> str:
    """jax, jaxlib and the CUDA plugins belong together."""
    found = {}
    for name in ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda12-pjrt", "jax-cuda13-plugin"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    text = ", ".join(f"{name} {version}" for name, version in found.items())
    if len(set(found.values())) > 1:
        raise Failed(f"{text}: not of one version: pip install --upgrade 'jax[cuda12]'")
    return f"Python {sys.version.split()[0]}, {text}"


def driver(args) -> str:
    """The driver's version, and who else is on the cards: another process leaves no memory."""
    if args.platform != "gpu":
        return "not looked for"
    if not shutil.which("nvidia-smi"):
        raise Failed("nvidia-smi is not there: install the NVIDIA driver")
    cards = _ask("--query-gpu=name,driver_version,memory.total")
    others = _ask("--query-compute-apps=pid,used_memory")
    if others:
        raise Failed(f"processes are on the cards already (pid, memory): {'; '.join(others)}")
    return "; ".join(cards)


def _ask(query: str) -> list[str]:
    answer = subprocess.run(
        ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True
    )
    if answer.returncode:
        raise Failed(f"nvidia-smi {query}: {(answer.stderr or answer.stdout).strip()}")
    return answer.stdout.strip().splitlines()


def devices(args) -> str:
    """What JAX sees, and how much memory of each it may use."""
    texts = []
    for device in args.devices:
        limit = (device.memory_stats() or {}).get("bytes_limit")
        texts.append(device.device_kind + (f" {limit / 2**30:.1f} GiB" if limit else ""))
    return f"{len(texts)}: " + ", ".join(sorted(set(texts)))


def product(args) -> str:
    """A matrix product in bfloat16 on each device: right, and how fast."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    # Small whole numbers: exact in bfloat16, and their sums in the float32 that they are added in.
    a = rng.integers(-4, 5, (args.size, args.size)).astype(np.float32)
    expected = a[:8].astype(np.float64) @ a.astype(np.float64)
    multiply = jax.jit(lambda x: jnp.matmul(x, x, preferred_element_type=jnp.float32))
    rates = []
    for device in args.devices:
        x = jax.device_put(jnp.asarray(a, jnp.bfloat16), device)
        if not np.array_equal(np.asarray(multiply(x)[:8], np.float64), expected):
            raise Failed(f"device {device.id} multiplies wrongly: the card, or its memory, is bad")
        rates.append(2 * args.size**3 / _seconds(lambda x=x: multiply(x)) / 1e12)
    if max(rates) > 1.5 * min(rates):
        raise Failed(f"unlike speeds, TFLOP/s: {_list(rates)}: nvidia-smi -q -d PERFORMANCE")
    return f"bfloat16, TFLOP/s by device: {_list(rates)}"


def memory(args) -> str:
    """Reads and writes of device memory."""
    import jax
    import jax.numpy as jnp

    copy = jax.jit(lambda x: x + 1)
    rates = []
    for device in args.devices:
        x = jax.device_put(jnp.zeros(16 * args.size**2, jnp.float32), device)
        rates.append(2 * x.nbytes / _seconds(lambda x=x: copy(x)) / 1e9)
    return f"GB/s by device: {_list(rates)}"


def all_reduce(args) -> str:
    """A sum over all devices: right, and how fast; where NCCL shows its troubles first."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    count = len(args.devices)
    if count == 1:
        return "one device: nothing to add"
    mesh = Mesh(np.array(args.devices), ("x",))
    rows = jnp.arange(1, count + 1, dtype=jnp.float32)[:, None] * jnp.ones(args.size**2)
    x = jax.device_put(rows, NamedSharding(mesh, PartitionSpec("x")))
    add = jax.jit(lambda x: x.sum(0), out_shardings=NamedSharding(mesh, PartitionSpec()))
    if not np.all(np.asarray(add(x)) == count * (count + 1) / 2):
        raise Failed("devices add wrongly: NCCL_P2P_DISABLE=1 tells whether their links are why")
    rate = 4 * args.size**2 / _seconds(lambda: add(x)) / 1e9
    return f"GB/s a device: {rate:.1f}"


def _seconds(call, repeats: int = 5) -> float:
    call().block_until_ready()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call().block_until_ready()
        times.append(time.perf_counter() - began)
    return sorted(times)[repeats // 2]


def _list(values) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def find_devices(platform: str) -> list:
    """JAX's devices of a platform; raises Failed where it has none, with its reason."""
    try:
        import jax

        return jax.local_devices(backend=platform)
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise Failed(f"JAX has no {platform}: pip install -e '.[cuda]' ({reason})") from None


def main() -> int:
    """Run the checks one after the other; a failed one does not keep the next from its turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--platform", default="gpu", help="default: gpu")
    parser.add_argument("--size", type=int, default=8192, help="side of the matrices")
    args = parser.parse_args()
    code = 0
    try:
        args.devices = find_devices(args.platform)
    except Failed as error:
        print(f"FAILED devices: {error}", file=sys.stderr)
        return 2
    for check in (versions, driver, devices, product, memory, all_reduce):
        try:
            print(f"ok     {check.__name__}: {check(args)}", flush=True)
        except Failed as error:
            code = 1
            print(f"FAILED {check.__name__}: {error}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
