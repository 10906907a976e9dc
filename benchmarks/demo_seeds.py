"""What Stage II of the demo changes, over several seeds: each seed's differences and their mean.

    python benchmarks/demo_seeds.py --seeds 0 5 6 --workdir=runs/demo_seeds

A seed whose demo is there is not run again. Of each comparison Stage II - Stage I it prints the
paired difference of every seed with its interval, and of all their cases together: other cases,
weights and samples in each seed, so that the interval of all holds for these seeds, and the t
interval of the mean for further ones.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from skinflow_jax.evaluation.intervals import t_interval
from skinflow_jax.evaluation.metrics import PairedDifference, paired_difference
from skinflow_jax.evaluation.predictions import Prediction, read_predictions
from skinflow_jax.runs.demo import FOLDERS, SIZES, STAGE_1, STAGE_2

VALUES = {
    "Top-1": ("diagnosis", lambda p: p.rank == 1),
    "critical or undetermined": ("diagnosis", lambda p: p.safety != "none"),
    "missed malignancy": ("diagnosis", lambda p: p.malignancy_missed),
    "missed urgent": ("diagnosis", lambda p: p.urgent_missed),
    "over-triage": ("diagnosis", lambda p: p.over_triaged),
    "caption reward": ("caption", lambda p: p.caption_reward),
}
"""The task whose answers have it, and the value, None of cases that have none."""


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 5, 6])
    parser.add_argument("--workdir", type=Path, required=True)
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        if not answers(arguments.workdir / str(seed), STAGE_2).is_file():
            demo = ("demo", f"--seed={seed}", f"--workdir={arguments.workdir / str(seed)}")
            subprocess.run([sys.executable, "-m", "skinflow_jax", *demo], check=True)
    pairs = {seed: paired(arguments.workdir / str(seed)) for seed in arguments.seeds}
    names = [*(f"seed {seed}" for seed in pairs), "all their cases", "mean, t interval"]
    print("| Stage II - Stage I | " + " | ".join(names) + " |")
    print("| --- |" + " ---: |" * len(names))
    for name, (task, value) in VALUES.items():
        scale = 1 if name == "caption reward" else 100
        changes = [change(each, task, value) for each in pairs.values()]
        together = change([pair for each in pairs.values() for pair in each], task, value)
        means = np.array([found.mean for found in changes])
        cells = [cell(scale, c.mean, c.low, c.high) for c in (*changes, together)]
        cells.append(cell(scale, means.mean(), *t_interval(means)))
        print(f"| {name} (n = {together.n}) | " + " | ".join(cells) + " |")


def answers(demo: Path, stage: str) -> Path:
    """The last evaluation of a stage of a demo."""
    size = SIZES["procedural"]
    steps = {STAGE_1: size.stage1_steps, STAGE_2: size.stage2_steps}[stage]
    return demo / FOLDERS[stage] / "eval" / str(steps) / "predictions.jsonl"


def paired(demo: Path) -> list[tuple[Prediction, Prediction]]:
    """The answers of both stages to the same cases."""
    before, after = (
        {(p.task, p.case_id): p for p in read_predictions(answers(demo, stage))}
        for stage in (STAGE_1, STAGE_2)
    )
    if before.keys() != after.keys():
        raise SystemExit(f"{demo}: the stages answered different cases: run this seed again")
    return [(before[key], after[key]) for key in before]


def change(pairs, task, value) -> PairedDifference:
    """Of the cases that have the value in both stages."""
    found = [(value(a), value(b)) for a, b in pairs if a.task == task]
    found = [(a, b) for a, b in found if a is not None and b is not None]
    return paired_difference([float(a) for a, _ in found], [float(b) for _, b in found])


def cell(scale: float, mean: float, low: float, high: float) -> str:
    """A difference with its interval, in points or as a reward."""
    digits = 3 if scale == 1 else 1
    return " ".join(
        (
            f"{scale * mean:+.{digits}f}",
            f"[{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]",
        )
    )


if __name__ == "__main__":
    main()
