"""A whole GRPO step, ours and TRL's GRPOTrainer in turn, on the same random Qwen2.5-VL.

python benchmarks/vs_trl.py                          # 224, 448 and 896 px: about an hour
python benchmarks/vs_trl.py --sizes 224 --steps 2 --warmup 1    # a look, whose figures mean little

TRL lives in an environment of its own:

python3 -m venv .venv-trl && .venv-trl/bin/pip install -r requirements-bench.txt

Two processes hold a trainer each and take one step in turn, so that both see the same machine; the
one that waits blocks on a pipe. A step is everything from raw uint8 images to updated weights:
images, prompts, 2 x 8 completions of exactly 128 tokens, rewards, update; float32, all parameters
trained, no KL. See `vs_trl_theirs.py` for how TRL was tuned.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from small_policy import SIZES, noise_images, random_policy
from vs_trl_shared import GROUP, IMAGES, MODEL, PHASES, PROMPT, PROMPTS, TOKENS

from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.data.tasks import TASKS
from skinflow_jax.models.flops import decoder_flops, logits_flops, vision_flops
from skinflow_jax.models.layers import parameter_count

HERE = Path(__file__).parent
OURS, THEIRS = "ours", "TRL"
ROWS = {
    "vision_prefill": "vision and prefill",
    "decode": "decoding",
    "reward": "rewards",
    "update": "update",
    "other": "images and the rest",
    "whole": "**whole step**",
}
# The same allocator for both: freed memory stays mapped instead of being faulted in every step.
ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**36),
    "MALLOC_ARENA_MAX": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Worker:
    """A process that takes a training step when asked to."""

    def __init__(self, name: str, command: list[str], log: Path):
        self.name, self._log = name, log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | ENVIRONMENT,
            )

    def answer(self) -> dict:
        """Its next answer."""
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended: {self._log} says why\n{self._log.read_text()[-2000:]}")
        return json.loads(line)

    def step(self) -> dict:
        """One training step."""
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        return self.answer()

    def processor_seconds(self) -> float:
        """What all its threads have used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Let it go."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()


def busy_seconds() -> float:
    """What the whole machine has worked so far, in seconds of a core; stolen ones count."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def prepare(workdir: Path, sides: list[int]) -> int:
    """Write what both workers read; returns the number of parameters."""
    policy = random_policy(workdir / "tokenizer")
    if not (workdir / MODEL).exists():
        save_pretrained(policy.model, workdir / MODEL, tokenizer=policy.tokenizer)
    (workdir / PROMPT).write_text(json.dumps(TASKS["diagnosis"].wording()))
    for side in sides:
        np.save(workdir / IMAGES.format(side=side), noise_images(side))
    return parameter_count(policy.model)


def check_step(answer: dict, worker: str) -> None:
    """Exit unless the step did the agreed work."""
    done = answer["completions"], *answer["lengths"]
    if done != (PROMPTS * GROUP, TOKENS, TOKENS):
        agreed = f"{PROMPTS * GROUP} of {TOKENS} tokens each"
        sys.exit(f"{worker}: completions, shortest, longest are {done}, not {agreed}")
    if not answer["reward_std"] > 0:
        sys.exit(f"{worker}: all rewards are equal, so that nothing is learned")


def race(side: int, chosen) -> dict:
    """Answers to the counted steps of both, in turn, and what the waiting one used meanwhile."""
    steps = chosen.warmup + chosen.steps
    arguments = [str(chosen.workdir), str(side), str(steps)]
    commands = {
        THEIRS: [
            *(chosen.trl_python, str(HERE / "vs_trl_theirs.py")),
            *(*arguments, chosen.trl_options),
        ],
        OURS: [sys.executable, str(HERE / "vs_trl_ours.py"), *arguments],
    }
    with contextlib.ExitStack() as ending:
        workers, started = {}, {}
        for name, command in commands.items():
            workers[name] = Worker(name, command, chosen.workdir / f"{name}-{side}.log")
            ending.callback(workers[name].end)
            # One after the other: each times its product of matrices on an idle machine.
            started[name] = workers[name].answer()
        counted = {name: [] for name in workers}
        for step in range(steps):
            for name, worker in workers.items():
                answer = watched_step(worker, *(w for w in workers.values() if w is not worker))
                seconds = answer["seconds"]
                seconds["other"] = seconds["whole"] - sum(seconds[phase] for phase in PHASES)
                print(f"{side} px, step {step + 1}, {name}: {seconds['whole']:.2f} s", flush=True)
                if step >= chosen.warmup:
                    counted[name].append(answer)
    tokens = {name: answers[-1]["prompt_tokens"] for name, answers in counted.items()}
    if tokens[OURS] != tokens[THEIRS]:
        sys.exit(f"{side} px: the prompts have {tokens} tokens; they should be the same")
    return {"side": side, "started": started, "answers": counted}


def watched_step(worker: Worker, waiting: Worker) -> dict:
    """One step's answer, and how much of a core was meanwhile used by those who should not.

    `waiting_share`: by the other worker; `others_share`: by all other processes of the machine.
    """
    began = time.perf_counter()
    before = busy_seconds(), worker.processor_seconds(), waiting.processor_seconds()
    answer = worker.step()
    after = busy_seconds(), worker.processor_seconds(), waiting.processor_seconds()
    elapsed = time.perf_counter() - began
    machine, working, idle = (b - a for a, b in zip(before, after, strict=True))
    check_step(answer, worker.name)
    others = max(0.0, machine - working - idle)
    return answer | {"waiting_share": idle / elapsed, "others_share": others / elapsed}


def flop_ratio(side: int, prompt_tokens: int) -> tuple[float, float]:
    """FLOPs of a whole step when each completion brings its own prompt, and when they share it.

    A rollout and an update, whose backward pass counts twice its forward pass.
    """
    vision, text = SIZES.vision, SIZES.text
    patches = np.array([(side // vision.patch_size) ** 2])
    prompt, none, tokens = np.array([prompt_tokens]), np.array([0]), np.array([TOKENS])
    shared = vision_flops(vision, patches) + decoder_flops(text, prompt, none)
    own = decoder_flops(text, tokens, prompt) + logits_flops(text, TOKENS)
    repeated, once = (4 * PROMPTS * (n * shared + GROUP * own) for n in (GROUP, 1))
    return repeated, once


def table(run: dict) -> str:
    """Markdown: median seconds by phase, the ratio, its minimum and maximum over paired steps."""
    theirs, ours = (run["answers"][name] for name in (THEIRS, OURS))
    prompt = int(ours[-1]["prompt_tokens"])
    repeated, once = flop_ratio(run["side"], prompt)
    lines = [
        f"### {run['side']} px: {(run['side'] // 28) ** 2:,} image tokens, {prompt:,} in a prompt",
        "| median seconds | TRL | ours | ratio | min to max over pairs |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for phase, title in ROWS.items():
        pairs = [
            (one["seconds"][phase], other["seconds"][phase])
            for one, other in zip(theirs, ours, strict=True)
        ]
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        ratios = [one / other for one, other in pairs]
        lines.append(
            f"| {title} | {medians[0]:.3f} | {medians[1]:.3f} | {medians[0] / medians[1]:.2f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    peaks = [answers[-1]["peak_bytes"] / 2**20 for answers in (theirs, ours)]
    return "\n".join(
        [
            *lines,
            f"| GFLOP, analytic | {repeated / 1e9:,.0f} | {once / 1e9:,.0f} "
            f"| {repeated / once:.2f} | |",
            f"| peak memory, MiB | {peaks[0]:,.0f} | {peaks[1]:,.0f} "
            f"| {peaks[0] / peaks[1]:.2f} | |",
            "",
            f"{len(ours)} counted steps each. {disturbance(theirs, ours)}",
            *(libraries(name, answer) for name, answer in run["started"].items()),
        ]
    )


def libraries(name: str, started: dict) -> str:
    """What a side runs on, and how fast a large matrix product is there."""
    versions = ", ".join(" ".join(pair) for pair in started["versions"].items())
    return (
        f"{name}: {versions}; 2048 x 2048 x 2048 product {started['product'] / 1e9:,.0f} GFLOP/s."
    )


def disturbance(theirs: list[dict], ours: list[dict]) -> str:
    """What both lost to others, in shares of a core; a quiet machine has a few per cent."""
    waiting = max(answer["waiting_share"] for answer in theirs + ours)
    others = [
        statistics.median(answer["others_share"] for answer in answers)
        for answers in (theirs, ours)
    ]
    return (
        f"The waiting process used at most {waiting:.0%} of a core; other processes took, in the "
        f"median, {others[0]:.0%} of one from TRL and {others[1]:.0%} from ours."
    )


def machine() -> str:
    """Processor and cores."""
    found = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        found = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    return f"{found}, {os.cpu_count()} cores"


def arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 448, 896], help="pixels")
    parser.add_argument("--steps", type=int, default=12, help="counted steps of each")
    parser.add_argument("--warmup", type=int, default=8, help="uncounted steps before them")
    parser.add_argument("--json", type=Path, help="write every step's seconds here")
    parser.add_argument("--workdir", type=Path, help="models, images and logs; default: temporary")
    parser.add_argument("--trl-python", default=".venv-trl/bin/python", help="where TRL is")
    parser.add_argument("--trl-options", default="{}", help="JSON, over what GRPOConfig is given")
    chosen = parser.parse_args()
    if not Path(chosen.trl_python).is_file():
        parser.error(
            f"--trl-python={chosen.trl_python} is not there. Make it: python3 -m venv .venv-trl "
            "&& .venv-trl/bin/pip install -r requirements-bench.txt"
        )
    wrong = [side for side in chosen.sizes if side < 28 or side % 28]
    if wrong or chosen.steps < 1 or chosen.warmup < 1:
        parser.error("--sizes must be multiples of 28; --steps and --warmup 1 or more")
    return chosen


def main() -> None:
    """Race at each size; print the tables."""
    chosen = arguments()
    with contextlib.ExitStack() as ending:
        if chosen.workdir is None:
            chosen.workdir = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        chosen.workdir.mkdir(parents=True, exist_ok=True)
        parameters = prepare(chosen.workdir, chosen.sizes)
        facts = {"parameters": parameters, "machine": machine(), "environment": ENVIRONMENT}
        print(
            f"{parameters / 1e6:.2f} million parameters, {PROMPTS} prompts x {GROUP} completions "
            f"x {TOKENS} tokens, float32; {machine()}"
        )
        runs = []
        for side in chosen.sizes:
            runs.append(race(side, chosen))
            print(f"\n{table(runs[-1])}\n", flush=True)
            if chosen.json:
                chosen.json.write_text(json.dumps(facts | {"runs": runs}, indent=1))


if __name__ == "__main__":
    main()
