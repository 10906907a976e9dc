"""A Hugging Face folder in and out: host memory and time, against a plain copy of its files.

python benchmarks/hf_io.py --layers=5 --blocks=4   # 3.0 GB of float32 weights, random
python benchmarks/hf_io.py --layers=1 --blocks=2 --vocabulary=8192 --parts=load   # a quick look

A model with the widths of Qwen2.5-VL-3B and fewer layers. Each part runs in a process of its own
on one CPU device. Its anonymous memory (RssAnon in /proc, read every 5 ms) is what it holds itself;
the peak of its resident memory (VmHWM) has the pages of mapped files, such as programs, too. Both
less what they were before the part began, in units of the model's float32 bytes S. `load`'s
destination is the model in memory, S itself; `import` ends in a workdir and `export` in a folder.
"""

import argparse
import dataclasses
import json
import math
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARTS = ("copy", "load", "import", "export")


def main() -> None:
    """Make the folder, run each part in a process, print a table."""
    arguments = _arguments()
    if arguments.part:
        return _child(arguments.part, arguments.folder)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        scratch, size = Path(scratch), None
        subprocess.run(_again(arguments, "make", scratch), check=True)
        size = json.loads((scratch / "size.json").read_text())
        print(f"S = {size / 1e9:.2f} GB of float32, the folder in {arguments.dtype}")
        print(f"{'part':8} {'seconds':>8} {'anonymous / S':>14} {'resident / S':>13}")
        for part in arguments.parts:
            seconds, anonymous, resident = _measured(_again(arguments, part, scratch))
            print(f"{part:8} {seconds:8.1f} {anonymous / size:14.2f} {resident / size:13.2f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=4, help="of the vision tower")
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS)
    parser.add_argument("--scratch", type=Path, help="folder to work in; default: temporary")
    parser.add_argument("--part", choices=("make", *PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _again(arguments, part: str, folder: Path) -> list[str]:
    same = [f"--{n}={getattr(arguments, n)}" for n in ("layers", "blocks", "vocabulary", "dtype")]
    return [sys.executable, __file__, f"--part={part}", f"--folder={folder}", *same]


def _measured(command: list[str]) -> tuple[float, int, int]:
    """(seconds, anonymous bytes, resident bytes) of a part, at most, beyond where it began."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment
    )
    said = b""
    while not said.endswith(b"ready\n"):
        said += _more(process, command)
    before, began = _status(process.pid), time.perf_counter()
    process.stdin.write(b"go\n")
    most = before
    while not said.endswith(b"done\n"):
        if select.select([process.stdout], [], [], 0.005)[0]:
            said += _more(process, command)
        most = [max(pair) for pair in zip(most, _status(process.pid), strict=True)]
    seconds = time.perf_counter() - began
    process.stdin.close()
    process.wait()
    return seconds, most[0] - before[0], most[1] - before[1]


def _more(process, command: list[str]) -> bytes:
    said = process.stdout.read(4096)
    if not said:
        raise SystemExit(f"failed: {' '.join(command)}")
    return said


def _status(pid: int) -> list[int]:
    """[RssAnon, VmHWM] in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return [int(fields.get(name, "0").split()[0]) * 1024 for name in ("RssAnon", "VmHWM")]


def _child(part: str, scratch: Path) -> None:
    if part == "make":
        return _make(scratch, _arguments())
    import jax.numpy as jnp

    from skinflow_jax.checkpoints.hf_import import load_pretrained
    from skinflow_jax.runs.policies import export_hf, import_hf

    jnp.zeros(1).block_until_ready()
    print("ready", flush=True)
    sys.stdin.readline()
    model, run = scratch / "model", scratch / "run"
    if part == "copy":
        _copy(model, scratch / "copy")
    elif part == "load":
        kept = load_pretrained(model)
        assert kept.decoder.norm.scale.shape
    elif part == "import":
        shutil.rmtree(run, ignore_errors=True)
        import_hf(model, run)
    else:
        export_hf(run, scratch / "out")
    print("done", flush=True)
    sys.stdin.readline()


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    for path in target.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _make(scratch: Path, arguments) -> None:
    """A folder of random weights, and the size of the model in float32."""
    import jax.numpy as jnp
    import numpy as np

    from skinflow_jax.checkpoints.hf_config import config_to_hf
    from skinflow_jax.checkpoints.hf_import import find
    from skinflow_jax.checkpoints.hf_safetensors import BLOCK_BYTES, write_file
    from skinflow_jax.checkpoints.names import hf_slots
    from skinflow_jax.data.images import preprocessor_config
    from skinflow_jax.models.config import model_config
    from skinflow_jax.models.vlm import abstract_model
    from skinflow_jax.tokenizers import train_sentencepiece

    folder, dtype = scratch / "model", jnp.dtype(arguments.dtype)
    tokenizer = train_sentencepiece(["a brown plaque on the arm"] * 9, folder, vocab_size=300)
    tokenizer.save_pretrained(folder)
    large = model_config("qwen2_5_vl_3b").with_tokenizer(tokenizer)
    text = dataclasses.replace(
        large.text, num_layers=arguments.layers, vocab_size=arguments.vocabulary
    )
    full = (arguments.blocks - 1,)
    vision = dataclasses.replace(large.vision, depth=arguments.blocks, full_attention_blocks=full)
    config = dataclasses.replace(large, text=text, vision=vision)
    model, layout = abstract_model(config), {}
    for name, slot in hf_slots(config).items():
        shape = find(model, slot.path).shape[0 if slot.index is None else 1 :]
        layout[name] = (dtype, slot.tensor_shape(shape, name, config))
    count = sum(math.prod(shape) for _, shape in layout.values())
    rng, part = np.random.default_rng(0), BLOCK_BYTES // 4
    sizes = (min(part, count - start) for start in range(0, count, part))
    noise = (rng.standard_normal(n, np.float32).astype(dtype) for n in sizes)
    write_file(folder / "model.safetensors", layout, noise)
    (folder / "config.json").write_text(json.dumps(config_to_hf(config)))
    images = preprocessor_config(56 * 56, 448 * 448, config.vision)
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    (scratch / "size.json").write_text(json.dumps(4 * count))


if __name__ == "__main__":
    main()
