"""Stage II by every policy loss, from one warm-up a seed: reward curves and held-out accuracy.

pip install matplotlib
python benchmarks/loss_curves.py --seeds=1,2 --workdir=runs/losses --picture=docs/grpo_losses.png

The demo's model, data and Stage II without its Stage I. Two optimizer steps a rollout, so that
ratios leave 1 and the losses differ. A loss that is done is not trained again; several processes
can share the seeds, and one more with all of them draws.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skinflow_jax.config import RunConfig
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.runs.cases import heldout_cases
from skinflow_jax.runs.demo import SIZES, demo_configs
from skinflow_jax.runs.evaluate import evaluate_policy
from skinflow_jax.runs.opening import open_checkpoint
from skinflow_jax.runs.train import train

# What each loss's authors recommend where they say so; the rest is as in the demo.
LOSSES = {
    "grpo": {},
    "dapo": {"clip_high": 0.28},
    "bnpo": {},
    "dr_grpo": {"max_completion_length": 20},
    "gspo": {"clip_low": 3e-4, "clip_high": 4e-4},
    "cispo": {},
    "sapo": {},
}
ADVANTAGES = {"dr_grpo": "none"}
HELDOUT = 600
SMOOTHED = 15  # steps


def configs(seed: int, steps: int) -> tuple[RunConfig, dict[str, RunConfig]]:
    """The warm-up and one Stage II for each loss."""
    warm_up, _, stage2 = demo_configs("procedural", None, seed, SIZES["procedural"]).values()
    stages = {}
    for name, constants in LOSSES.items():
        rl = dataclasses.replace(
            stage2.rl,
            mini_batches=2,
            advantages=ADVANTAGES.get(name, "group"),
            loss=PolicyLossConfig(loss_type=name, kl_coef=0.01, **constants),
        )
        stages[name] = dataclasses.replace(
            stage2,
            rl=rl,
            loop=dataclasses.replace(stage2.loop, steps=steps),
            evaluation=dataclasses.replace(stage2.evaluation, count=HELDOUT, tasks=("diagnosis",)),
        )
    return warm_up, stages


def run_seed(seed: int, steps: int, workdir: Path) -> None:
    """Train and evaluate what is not there yet."""
    warm_up, stages = configs(seed, steps)
    records, start = workdir / "records", workdir / "warmup"
    train(warm_up, start, resume=True, records_folder=records, title=f"seed {seed}, warm-up")
    heldout, floor = heldout_cases(stages["grpo"], records)

    def evaluate(policy, folder):
        summary = evaluate_policy(policy, stages["grpo"], heldout, floor, folder)
        (folder / "result.json").write_text(json.dumps(summary.to_dict()), encoding="utf-8")

    if not (start / "result.json").is_file():
        evaluate(open_checkpoint(start), start)
    for name, config in stages.items():
        folder = workdir / name
        if (folder / "result.json").is_file():
            continue
        model = dataclasses.replace(config.model, init_from=str(start))
        policy = train(
            dataclasses.replace(config, model=model),
            folder,
            resume=True,
            records_folder=records,
            title=f"seed {seed}, {name}",
        )
        evaluate(policy, folder)


def curve(folder: Path, name: str) -> np.ndarray:
    """A metric by step."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return np.array([json.loads(line)[name] for line in lines])


def draw(seeds: list[int], workdir: Path, picture: Path) -> None:
    """One panel a loss: the diagnosis reward of each seed, smoothed, over its raw values."""
    figure, panels = plt.subplots(2, 4, figsize=(12, 5.2), sharex=True, sharey=True)
    for panel, name in zip(panels.flat, LOSSES, strict=False):
        for seed in seeds:
            reward = curve(workdir / str(seed) / name, "rewards/diagnosis_reciprocal/mean")
            kernel = np.ones(SMOOTHED) / SMOOTHED
            (line,) = panel.plot(
                np.arange(SMOOTHED - 1, len(reward)) + 1,
                np.convolve(reward, kernel, "valid"),
                label=f"seed {seed}",
            )
            panel.plot(np.arange(len(reward)) + 1, reward, alpha=0.2, color=line.get_color())
        panel.set_title(name)
        panel.grid(alpha=0.3)
    panels.flat[0].legend()
    panels.flat[-1].set_visible(False)
    figure.supxlabel("step (16 prompts, 16 completions each, 2 optimizer steps)")
    figure.supylabel("diagnosis reward of the sampled completions")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def table(seeds: list[int], workdir: Path) -> str:
    """Markdown: rewards at both ends of the run and held-out accuracy, each seed for itself."""

    def accuracy(folder, metric):
        found = json.loads((folder / "result.json").read_text())[metric]
        return f"{100 * found['value']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"

    def row(name, folders, rewards):
        cells = [accuracy(f, metric) for metric in ("Top-1", "Top-3") for f in folders]
        return f"| {' | '.join([name, *rewards, *cells])} |"

    titles = ["reward, first and last 20 steps", "held-out Top-1 %", "held-out Top-3 %"]
    columns = [f"seed {seed}: {title}" for title in titles for seed in seeds]
    lines = [f"| loss | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    lines.append(
        row("warm-up", [workdir / str(seed) / "warmup" for seed in seeds], "-" * len(seeds))
    )
    for name in LOSSES:
        folders = [workdir / str(seed) / name for seed in seeds]
        rewards = [curve(folder, "rewards/diagnosis_reciprocal/mean") for folder in folders]
        moved = [f"{np.mean(r[:20]):.3f}, {np.mean(r[-20:]):.3f}" for r in rewards]
        lines.append(row(name, folders, moved))
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--workdir", type=Path, default=Path("runs/losses"))
    parser.add_argument("--picture", type=Path, help="draw when all seeds are there")
    chosen = parser.parse_args()
    seeds = [int(seed) for seed in chosen.seeds.split(",")]
    for seed in seeds:
        run_seed(seed, chosen.steps, chosen.workdir / str(seed))
    print(table(seeds, chosen.workdir))
    if chosen.picture:
        draw(seeds, chosen.workdir, chosen.picture)


if __name__ == "__main__":
    main()
