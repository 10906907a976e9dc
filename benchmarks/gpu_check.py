"""One look at this machine's GPU in under 8 minutes: does it train, is it right, how fast is it?

python benchmarks/gpu_check.py --json=gpu_check.json
JAX_PLATFORMS=cpu python benchmarks/gpu_check.py --size=tiny --dtype=float32 --side=112   # without

Parts, in this order; --only=parity,speed takes some of them:

* parity: logits and greedy tokens of a small random model, against the same on the CPU
* speed: a random model of the 3B's shapes in bfloat16: prefill and decoding; a GRPO step with LoRA
* runs: debug_sft, debug_stage1 and debug_lora by the real command, as far as the time allows

Needs jax 0.10 to 0.12 with its CUDA plugin (requirements-cuda.txt) and what requirements.txt names;
says what is missing or too old. Nothing is downloaded.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Of all parts together; the debug runs get what the others leave.
LIMIT = 450.0
PROMPTS, GROUP, TOKENS, SIDE = 2, 8, 128, 448
STEPS = 4
# float32 over a few layers, in another order of additions.
TOLERANCE = 1e-3


def missing_packages(requirements: Path = ROOT / "requirements.txt") -> list[str]:
    """The lines of requirements.txt that pip would have to install: not there, or too old."""
    lines = [line.strip() for line in requirements.read_text().splitlines()]
    return [line for line in lines if line and line[0] != "#" and not installed(line)]


def installed(requirement: str) -> bool:
    """Whether the package of NAME>=LEAST,<... is there, and not older than LEAST."""
    name, least = requirement.split(",")[0].split(">=")
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return numbers(version) >= numbers(least)


def numbers(version: str) -> list[int]:
    """1.10.2rc1 as [1, 10, 2]."""
    return [int(re.match(r"\d*", part)[0] or 0) for part in version.split(".")[:3]]


def machine() -> dict:
    """The device that the figures are of."""
    import jax

    device = jax.devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return {
        "device": device.device_kind,
        "devices": jax.device_count(),
        "GiB for JAX": None if limit is None else round(limit / 2**30, 1),
        "jax": jax.__version__,
        "python": sys.version.split()[0],
    }


def without_accelerator() -> dict | None:
    """What is wrong where JAX took the CPU without being asked to."""
    import jax

    if os.environ.get("JAX_PLATFORMS") or jax.default_backend() != "cpu":
        return None
    return {
        "ok": False,
        "error": "JAX sees no GPU: look at launch/debug_gpu.py; or --help for a CPU",
    }


def peak_gib() -> float | None:
    """The most memory that this process has held on its first device since it began."""
    import jax

    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return None if peak is None else round(peak / 2**30, 2)


def setting(size: str, folder: Path, **changes):
    """(sizes, tokenizer) of a random model: all shapes of `size`, the vocabulary's too."""
    from skinflow_jax.config import DataConfig
    from skinflow_jax.models.config import model_config
    from skinflow_jax.runs.cases import open_cases
    from skinflow_jax.runs.policies import train_tokenizer

    data = DataConfig(count=300)
    tokenizer = train_tokenizer(
        data, open_cases(data, data.split, data.count, folder), folder, 1024
    )
    sizes = model_config(size)
    rows = max(sizes.text.vocab_size, tokenizer.vocab_size)
    sizes = sizes.with_tokenizer(tokenizer)
    text = dataclasses.replace(sizes.text, vocab_size=rows)
    return dataclasses.replace(sizes, text=text, **changes), tokenizer


def prompts(sizes, tokenizer, side: int):
    """Batches of PROMPTS prompts, each with an image of noise, for ever."""
    from small_policy import batches, noise_images

    from skinflow_jax.runs.policies import Policy

    model = argparse.Namespace(config=sizes)
    return batches(Policy(model, tokenizer), noise_images(side))


def parity(args, folder: Path) -> dict:
    """The tiny model on this device and on the CPU: how far apart logits and tokens are."""
    import jax
    import numpy as np

    from skinflow_jax.models.vlm import ComputeConfig, init_model, prompt_states
    from skinflow_jax.rl.sampler import sample
    from skinflow_jax.rl.token_choice import make_sampling

    sizes, tokenizer = setting("tiny", folder)
    inputs = next(prompts(sizes, tokenizer, 112)).inputs
    device, cpu = jax.devices()[0], jax.devices("cpu")[0]
    compute, greedy = ComputeConfig(), make_sampling(temperature=0.0)
    with jax.default_device(cpu):
        weights = jax.device_get(init_model(sizes, seed=0))

    def on(place, precision):
        with jax.default_device(place), jax.default_matmul_precision(precision):
            model = jax.device_put(weights, place)
            logits = jax.jit(lambda m, i: m.decoder.logits(prompt_states(m, i, compute)[0]))
            rollout = sample(
                model,
                inputs,
                jax.random.key(0),
                np.arange(PROMPTS),
                greedy,
                group_size=2,
                max_tokens=24,
                compute=compute,
            )
            return np.asarray(logits(model, inputs))[inputs.token_mask], np.asarray(rollout.tokens)

    expected, tokens = on(cpu, "highest")
    exact, same = on(device, "highest")
    usual, _ = on(device, "default")
    difference = float(np.abs(exact - expected).max() / expected.std())
    return {
        "logits, largest difference over their spread": difference,
        "the same with the device's usual products": float(
            np.abs(usual - expected).max() / expected.std()
        ),
        "greedy tokens that agree": float((same == tokens).mean()),
        "ok": difference < TOLERANCE,
    }


def speed(args, folder: Path) -> dict:
    """Seconds, tokens a second and memory of the large model: decoding, then a GRPO step."""
    found = {"size": args.size, "dtype": args.dtype, "side": args.side}
    for part in (decoding, grpo_step):
        try:
            found |= part(args, folder)
        except Exception as error:
            # A card that is too small is a finding: the parts before it stand.
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            found[part.__name__] = "does not fit this device"
    return found | {"ok": True}


def decoding(args, folder: Path) -> dict:
    """The sampler alone, its weights in `--dtype` and nothing else on the device."""
    import jax
    import numpy as np

    from skinflow_jax.models.layers import parameter_count
    from skinflow_jax.models.vlm import ComputeConfig, init_model
    from skinflow_jax.rl.sampler import decode, prefill_prompts, rollout_weights
    from skinflow_jax.rl.token_choice import make_sampling

    sizes, tokenizer = setting(args.size, folder)
    compute = ComputeConfig(dtype=args.dtype)
    # One program: never all weights in float32 beside those that are sampled with.
    weights = jax.jit(lambda: rollout_weights(init_model(sizes, seed=0), compute))()
    inputs = jax.device_put(next(prompts(sizes, tokenizer, args.side)).inputs)
    sampling = make_sampling(temperature=1.0, min_tokens=TOKENS)
    key, rows = jax.random.key(0), np.arange(PROMPTS)

    def prefilled():
        return jax.block_until_ready(prefill_prompts(weights, inputs, compute))

    def decoded():
        return jax.block_until_ready(
            decode(weights, prefix, key, rows, sampling, group_size=GROUP, max_tokens=TOKENS).tokens
        )

    prefix, first = timed(prefilled)
    _, prefill_seconds = timed(prefilled)
    _, compiling = timed(decoded)
    _, decode_seconds = timed(decoded)
    prompt_tokens = int(np.asarray(inputs.token_mask).sum())
    return {
        "parameters, billions": parameter_count(weights) / 1e9,
        "compilation of both, s": first + compiling,
        "prefill with vision, s": prefill_seconds,
        "prompt tokens a second": prompt_tokens / prefill_seconds,
        "decoding, s": decode_seconds,
        "sampled tokens a second": PROMPTS * GROUP * TOKENS / decode_seconds,
        "peak GiB of sampling": peak_gib(),
    }


def timed(call):
    """(what it returns, seconds)."""
    began = time.perf_counter()
    found = call()
    return found, time.perf_counter() - began


def grpo_step(args, folder: Path) -> dict:
    """Whole steps with LoRA adapters, by the learner that `skinflow train` runs."""
    import statistics

    from skinflow_jax.models.config import LoraConfig
    from skinflow_jax.models.vlm import ComputeConfig, init_model
    from skinflow_jax.rl.config import GrpoConfig
    from skinflow_jax.rl.learner import GrpoLearner
    from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
    from skinflow_jax.training.state import create_state

    lora = LoraConfig(rank=16, alpha=32.0)
    sizes, tokenizer = setting(args.size, folder, lora=lora)
    config = GrpoConfig(
        group_size=GROUP,
        max_tokens=TOKENS,
        min_tokens=TOKENS,
        compactions=0,
        rewards=(f"{Path(__file__).with_name('vs_trl_shared.py')}:length_digit",),
    )
    optimizer = make_optimizer(OptimizerConfig(learning_rate=1e-5), steps=STEPS)
    compute = ComputeConfig(dtype=args.dtype, remat="full")
    learner = GrpoLearner(optimizer, tokenizer, config, seed=0, compute=compute)
    state = create_state(init_model(sizes, seed=0), optimizer)
    stream, steps = prompts(sizes, tokenizer, args.side), []
    for step in range(STEPS):
        result, seconds = timed(lambda state=state, step=step: learner.step(state, stream, step))
        state = result.state
        steps.append(result.metrics | {"seconds": seconds})
    # The first compiles.
    phases = ("vision_prefill", "decode", "reward", "update")
    names = {"seconds": "GRPO step, s"} | {f"time/{name}": f"  {name}, s" for name in phases}
    found = {
        text: statistics.median(float(step[name]) for step in steps[1:])
        for name, text in names.items()
    }
    return found | {
        "first step, s": steps[0]["seconds"],
        "GRPO tokens a second": PROMPTS * GROUP * TOKENS / found["GRPO step, s"],
        "peak GiB of all": peak_gib(),
    }


def runs(args, folder: Path) -> dict:
    """The debug configs, each by the real command; one that the time does not allow is not ok."""
    start = f"--config.model.init_from={folder / 'debug_sft'}"
    found, ok = {}, True
    for name in ("debug_sft", "debug_stage1", "debug_lora"):
        flags = [] if name == "debug_sft" else [start]
        # The process around this one is ended at the same time.
        found[name], done = debug_run(name, flags, folder, args.deadline - time.monotonic() - 10)
        ok &= done
    return found | {"ok": ok}


def debug_run(name: str, flags: list[str], folder: Path, seconds: float) -> tuple[str, bool]:
    """(what became of the run, whether it was done)."""
    if seconds < 20:
        return "no time left", False
    command = [sys.executable, "-m", "skinflow_jax", "train", f"--config={name}"]
    command += [f"--workdir={folder / name}", "--resume", *flags]
    environment, began = os.environ | {"PYTHONPATH": str(ROOT)}, time.monotonic()
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:.0f} s", False
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return f"exit code {done.returncode}: {last}", False
    metrics = (folder / name / "metrics.jsonl").read_text().splitlines()
    loss = next(row["loss"] for row in map(json.loads, reversed(metrics)) if "loss" in row)
    return f"done in {time.monotonic() - began:.0f} s, last loss {loss:.4f}", True


PARTS = {"parity": parity, "speed": speed, "runs": runs}


def part_alone(name: str, arguments: list[str], seconds: float) -> dict:
    """A part in a process of its own: its memory is free again for the next."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "found.json")
        command = [sys.executable, __file__, f"--part={name}", f"--json={answer}", *arguments]
        command += [f"--limit={seconds}"]
        try:
            subprocess.run(command, check=False, timeout=max(seconds, 1))
        except subprocess.TimeoutExpired:
            return {"ok": False, "error": f"not done after {seconds:.0f} s"}
        if not answer.exists():
            return {"ok": False, "error": "ended without a result: see above"}
        return json.loads(answer.read_text())


def show(name: str, found: dict) -> None:
    """The figures of a part, a line each."""
    print(f"\n{name}: {'ok' if found.get('ok', True) else 'FAILED'}")
    for key, value in found.items():
        if key != "ok":
            text = f"{value:.4g}" if isinstance(value, float) else value
            print(f"  {key:46} {text}")
    sys.stdout.flush()


def parse() -> tuple[argparse.Namespace, list[str]]:
    """(arguments, those that the parts get too)."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--size", default="qwen2_5_vl_3b", help="of the model of `speed`")
    parser.add_argument("--dtype", default="bfloat16", help="of its activations")
    parser.add_argument("--side", type=int, default=SIDE, help="of its images, pixels")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, by comma")
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, default=LIMIT, help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = set(args.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"--only={args.only}: the parts are {', '.join(PARTS)}")
    return args, [f"--size={args.size}", f"--dtype={args.dtype}", f"--side={args.side}"]


def one_part(args: argparse.Namespace) -> dict:
    """What the part finds, in this process."""
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        if args.part == "runs":
            # Processes of their own, to which this one leaves the card's memory.
            return runs(args, Path(folder))
        platforms = os.environ.get("JAX_PLATFORMS", "")
        if platforms and "cpu" not in platforms.split(","):
            # What the device is compared with.
            os.environ["JAX_PLATFORMS"] = f"{platforms},cpu"
        found = without_accelerator() or PARTS[args.part](args, Path(folder))
    return {"machine": machine()} | found


def main() -> int:
    """0 where all parts are well, 1 where one is not, 2 where packages are missing."""
    args, passed = parse()
    began = time.monotonic()
    args.deadline = began + args.limit
    if args.part:
        Path(args.json).write_text(json.dumps(one_part(args)))
        return 0
    missing = missing_packages()
    if missing:
        print(f"gpu_check: missing: pip install {shlex.join(missing)}", file=sys.stderr)
        return 2
    results = {}
    for name in args.only.split(","):
        found = part_alone(name, passed, args.deadline - time.monotonic())
        if "machine" in found:
            card = found.pop("machine")
            if "machine" not in results:
                results["machine"] = card
                show("machine", card)
        results[name] = found
        show(name, found)
    results["seconds"] = time.monotonic() - began
    print(f"\nin {results['seconds']:.0f} s")
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n")
    return int(not all(results[name].get("ok") for name in args.only.split(",")))


if __name__ == "__main__":
    sys.exit(main())
