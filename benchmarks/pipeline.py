"""Images to batches, ours and PyTorch's DataLoader with Qwen2VLImageProcessorPil, on HAM10000.

python benchmarks/pipeline.py --data=../shared/data/ham10000
python benchmarks/pipeline.py --data=../shared/data/ham10000 --images=1000 --epochs=3   # a look

Both begin with a folder of JPEG files and end with batches of patches in host memory, in shuffled
order. Ours builds records in its first epoch (decoded, resized, checksummed, written) and reads
them from then on; its patches are uint8, which the tower normalises on the device (what that takes
stands in the last lines), and its batches also have the prompts' tokens, targets, positions and
masks. PyTorch's workers are processes that decode, resize, normalise and cut each image in every
epoch, into float32.

Each side runs in a process of its own, after its imports, `--repeats` times in turn. Memory is the
most that the process and its children hold together, read every 0.5 s (to read it ten times as
often cost PyTorch's processes a third of their time): resident (RSS), in which pages that processes
share count for each, and proportional (PSS), in which they count once. At the end one worker does
the parts of the work one after the other, alone.
"""

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SIDES = ("ours", "PyTorch")
BUDGET = {"min_pixels": 56 * 56, "max_pixels": 448 * 448}


def main() -> None:
    """Run both sides in turn and print the tables."""
    arguments = _arguments()
    if arguments.side:
        return _child(arguments)
    runs = {side: [] for side in SIDES}
    for _ in range(arguments.repeats):
        for side in SIDES:
            runs[side].append(_measured(arguments, side))
    print(f"{arguments.images} images, {arguments.workers} workers, batches of {arguments.batch}")
    print(f"{'median':32} {'ours':>10} {'PyTorch':>10} {'ratio':>7}")
    keys = {
        "first": "first epoch, with the build, s",
        "build": "  of it the build, s",
        "later": "later epochs, s",
        "rss": "peak memory, RSS, MiB",
        "pss": "peak memory, PSS, MiB",
        "growth": "PSS, last epoch over second, MiB",
    }
    for key, title in keys.items():
        ours, theirs = (statistics.median(run[key] for run in runs[side]) for side in SIDES)
        ratio = f"{theirs / ours:7.2f}" if key in ("first", "later", "rss", "pss") else ""
        print(f"{title:32} {ours:10.2f} {theirs:10.2f} {ratio}")
    for side in SIDES:
        shares = runs[side][0]["parts"]
        whole = sum(shares.values())
        listed = ", ".join(f"{name} {spent / whole:.0%}" for name, spent in shares.items())
        print(f"{side}, one worker: {1000 * whole / arguments.profiled:.2f} ms an image: {listed}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="HAM10000_metadata.csv, images/")
    parser.add_argument("--images", type=int, default=10_000, help="at most this many")
    parser.add_argument("--epochs", type=int, default=4, help="the first one included")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--workers", type=int, default=2, help="threads of ours, processes of theirs"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profiled", type=int, default=200, help="images that one worker does")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measured(arguments, side: str) -> dict[str, float]:
    """What a child says, and what memory it and its children held."""
    same = ("data", "images", "epochs", "batch", "workers", "profiled")
    options = [f"--{name}={getattr(arguments, name)}" for name in same]
    command = [sys.executable, __file__, f"--side={side}", *options]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        memory = _Memory(process.pid)
        said = {}
        for line in process.stdout:
            event = json.loads(line)
            said |= {key: value for key, value in event.items() if key != "epoch"}
            if "epoch" in event:
                memory.epochs.append(memory.now)
            if event.get("done"):
                memory.stop()
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    growth = (memory.epochs[-1] - memory.epochs[1]) / 2**20 if len(memory.epochs) > 2 else 0.0
    return said | {"rss": memory.rss / 2**20, "pss": memory.pss / 2**20, "growth": growth}


class _Memory:
    """The most memory of a process and its children, read in a thread of its own."""

    def __init__(self, pid: int):
        self._pid, self._stopped = pid, threading.Event()
        self.rss = self.pss = self.now = 0
        self.epochs: list[int] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.5):
            read = [_smaps(pid) for pid in _family(self._pid)]
            rss, self.now = (sum(values) for values in zip((0, 0), *read, strict=True))
            self.rss, self.pss = max(self.rss, rss), max(self.pss, self.now)

    def stop(self) -> None:
        """Read no more."""
        self._stopped.set()
        self._thread.join()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                yield from _family(int(child))


def _smaps(pid: int) -> tuple[int, int]:
    """(RSS, PSS) in bytes; nothing of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0, 0
    fields = dict(line.split(":", 1) for line in lines)
    return tuple(int(fields[name].split()[0]) * 1024 for name in ("Rss", "Pss"))


def _child(arguments) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        side = _Ours(arguments, Path(scratch)) if arguments.side == "ours" else _Theirs(arguments)
        times, began = [], time.perf_counter()
        built = side.build()
        for epoch in range(arguments.epochs):
            seen = side.epoch(epoch)
            times.append(time.perf_counter() - began)
            _say(epoch=epoch, images=seen)
            began = time.perf_counter()
        later = statistics.median(times[1:])
        _say(first=times[0], later=later, build=built, done=True)
        side.close()
        _say(parts=side.parts(arguments.profiled))


def _say(**event) -> None:
    print(json.dumps(event), flush=True)


def _timed(parts: dict[str, float], name: str, call: Callable, *given, **options):
    began = time.perf_counter()
    result = call(*given, **options)
    parts[name] = parts.get(name, 0.0) + time.perf_counter() - began
    return result


class _Ours:
    """Records and the pipeline of training."""

    def __init__(self, arguments, scratch: Path):
        from skinflow_jax.data.chat import prompt_texts
        from skinflow_jax.data.sources.ham10000 import Ham10000Source
        from skinflow_jax.models.config import model_config
        from skinflow_jax.tokenizers import train_sentencepiece

        for name in ("pipeline", "records"):  # not in the time of the first epoch
            importlib.import_module(f"skinflow_jax.data.{name}")
        texts = [*prompt_texts(str), *Ham10000Source.diagnoses] * 2
        self._tokenizer = train_sentencepiece(texts, scratch / "tokenizer", vocab_size=400)
        self._config = model_config("tiny").with_tokenizer(self._tokenizer)
        self._arguments, self._folder, self._batches = arguments, scratch / "records", None

    def build(self) -> float:
        """Open the source and build the records; the seconds that took."""
        from skinflow_jax.data.buckets import Buckets
        from skinflow_jax.data.pipeline import make_pipeline
        from skinflow_jax.data.records import RecordSet, build_records
        from skinflow_jax.data.sources.ham10000 import Ham10000Source

        began = time.perf_counter()
        source = _First(Ham10000Source(self._arguments.data), self._arguments.images)
        build_records(source, self._folder, fingerprint={}, **BUDGET)
        records, batch = RecordSet(self._folder), self._arguments.batch
        self._source, self._count = source, len(records) // batch
        built = time.perf_counter() - began
        self._batches = make_pipeline(
            *(records, self._tokenizer, self._config),
            tasks=("diagnosis",),
            batch_size=batch,
            seed=0,
            buckets=Buckets((160, 400), (4, 16), 160),
            prefetch=self._arguments.workers,
        )
        return built

    def epoch(self, _) -> int:
        """Take the batches of an epoch; the number of images."""
        return sum(len(next(self._batches).examples) for _ in range(self._count))

    def close(self) -> None:
        """Stop the threads."""
        self._batches.close()

    def parts(self, count: int) -> dict[str, float]:
        """Seconds of each part for so many images, one after the other."""
        import jax
        import numpy as np

        from skinflow_jax.data.chat import prompt_ids
        from skinflow_jax.data.images import patchify, resize
        from skinflow_jax.data.pipeline import example_of
        from skinflow_jax.data.record_set import Record, decode_record, encode_record
        from skinflow_jax.models.inputs import build_inputs, window_count
        from skinflow_jax.models.pixels import patch_values

        parts, config = {}, self._config
        for index in range(count):
            (image,) = _timed(parts, "decode", self._source.images, index)
            small = _timed(parts, "resize", resize, image, **BUDGET)
            record = Record(self._source.case(index), (small,))
            data = _timed(parts, "record", encode_record, record)
            record = _timed(parts, "record", decode_record, data)
            patches, grid = _timed(parts, "patchify", patchify, record.images[0], config.vision)
            prompt = example_of(record.case, "diagnosis", record.images).prompt
            ids = _timed(parts, "tokens", prompt_ids, self._tokenizer, prompt, [grid], config)
            shape = {"length": 400, "windows": window_count(grid, config.vision), "images": 1}
            _timed(parts, "copy", build_inputs, [ids], [[(patches, grid)]], config, **shape)
        batch = np.zeros((self._arguments.batch, 256, config.vision.patch_pixels), np.uint8)
        values = jax.jit(patch_values, static_argnums=1).lower(batch, config.vision).compile()
        for _ in range(count // len(batch)):
            _timed(parts, "normalise by XLA", lambda: jax.block_until_ready(values(batch)))
        return parts


class _First:
    """The first cases of a source."""

    def __init__(self, source, count: int):
        self._source, self._count = source, min(count, len(source))

    def __len__(self) -> int:
        return self._count

    def __getattr__(self, name: str):
        return getattr(self._source, name)


class _Theirs:
    """The files through PyTorch's DataLoader."""

    def __init__(self, arguments):
        from torch.utils.data import DataLoader
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil,
        )

        self._arguments, self._loader_of = arguments, DataLoader
        self._processor = Qwen2VLImageProcessorPil(**BUDGET)

    def build(self) -> float:
        """List the files; nothing is built."""
        began = time.perf_counter()
        self._paths = sorted((self._arguments.data / "images").iterdir())[: self._arguments.images]
        workers = self._arguments.workers
        self._loader = self._loader_of(
            self._paths,
            batch_size=self._arguments.batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=self._batch,
        )
        return time.perf_counter() - began

    def _batch(self, paths: list[Path]):
        return self._processor([_decoded(path) for path in paths], return_tensors="pt")

    def epoch(self, _) -> int:
        """Take the batches of an epoch; the number of images."""
        return sum(len(batch["image_grid_thw"]) for batch in self._loader)

    def close(self) -> None:
        """End the workers."""
        self._loader = None

    def parts(self, count: int) -> dict[str, float]:
        """Seconds of each part for so many images, one after the other, by the processor's own."""
        import numpy as np
        from transformers.image_utils import PILImageResampling, SizeDict

        parts, ours = {}, self._processor
        sizes = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
        edges = SizeDict(shortest_edge=BUDGET["min_pixels"], longest_edge=BUDGET["max_pixels"])
        for path in self._paths[:count]:
            image = _timed(parts, "decode", _decoded, path)
            image = _timed(parts, "resize", lambda i: np.moveaxis(np.asarray(i), -1, 0), image)
            bicubic = PILImageResampling.BICUBIC
            image = _timed(parts, "resize", ours.resize, image, edges, bicubic, factor=28)
            image = _timed(parts, "normalise", ours.rescale, image, 1 / 255)
            image = _timed(
                parts, "normalise", ours.normalize, image, ours.image_mean, ours.image_std
            )
            patches, *_ = _timed(parts, "patchify", ours.patchify, image, **sizes)
            _timed(parts, "copy", np.concatenate, [patches])
        return parts


def _decoded(path: Path):
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")


if __name__ == "__main__":
    main()
