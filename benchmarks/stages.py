"""Runs of a folder of configs, one after the other, each evaluated on the same held-out cases.

What is there already is not trained again: an interrupted benchmark goes on where it was.
"""

import dataclasses
import datetime
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from skinflow_jax.config import RunConfig, load_config
from skinflow_jax.runs.cases import heldout_cases
from skinflow_jax.runs.evaluate import evaluate_policy
from skinflow_jax.runs.train import train
from skinflow_jax.storage.paths import write_whole

SIGNAL = ("reward", "frac_reward_zero_std", "entropy", "kl", "loss")
"""Of metrics.jsonl, what tells whether a run had something to learn from."""


def stage_config(
    configs: Path, name: str, seed: int, overrides: Mapping[str, Any], start: Path | None
) -> RunConfig:
    """A config of the folder. Of a seed are weights, order and samples; the splits stay."""
    config = load_config(configs / f"{name}.py", {**overrides, "seed": seed})
    if start is None:
        return config
    model = dataclasses.replace(config.model, init_from=str(start))
    return dataclasses.replace(config, model=model)


def run_stages(
    stages: Mapping[str, tuple[str, str | None]],
    configs: Path,
    workdir: Path,
    seed: int,
    overrides: Mapping[str, Any],
) -> None:
    """Train and evaluate what is not there yet, into `workdir`/`seed`/name.

    `stages`: by the name of a run, its config in the folder and the run that it starts from.
    """
    for name, (file, before) in stages.items():
        folder = workdir / str(seed) / name
        if (folder / "seconds.json").is_file():
            continue
        start = None if before is None else workdir / str(seed) / before
        config = stage_config(configs, file, seed, overrides, start)
        records = workdir / "records"
        heldout, floor = heldout_cases(config, records)
        began = time.perf_counter()
        policy = train(
            config, folder, resume=True, records_folder=records, title=f"seed {seed}, {name}"
        )
        trained = time.perf_counter()
        evaluate_policy(policy, config, heldout, floor, folder)
        spent = {"training": trained - began, "evaluation": time.perf_counter() - trained}
        write_whole(folder / "seconds.json", json.dumps(spent))


def predictions(folder: Path) -> list[dict]:
    """What a run of `run_stages` answered, in the order of the held-out cases."""
    return _lines(folder / "predictions.jsonl")


def seconds(folder: Path) -> float:
    """Of training and evaluation, compilation included; of a resumed run since it was resumed."""
    return sum(json.loads((folder / "seconds.json").read_text()).values())


def signal(folder: Path) -> dict[str, tuple[float, float]]:
    """Means over the first and the last fifth of the steps that were logged."""
    lines = _lines(folder / "metrics.jsonl")
    part = max(1, len(lines) // 5)
    return {
        name: tuple(
            float(np.mean([line[name] for line in p])) for p in (lines[:part], lines[-part:])
        )
        for name in SIGNAL
        if name in lines[0]
    }


def signal_lines(name: str, workdir: Path, seeds: int) -> list[str]:
    """The same for people: what a run had to learn from, at its start and at its end."""
    lines = [f"{name}, means over the first → the last fifth of the steps:", ""]
    for seed in range(seeds):
        found = signal(workdir / str(seed) / name).items()
        told = (f"{key} {first:.3g} → {last:.3g}" for key, (first, last) in found)
        lines.append(f"* seed {seed}: {', '.join(told)}")
    return lines


def costs(names: Iterable[str], workdir: Path, seeds: int) -> str:
    """Seconds of each run by seed, the machine, versions and date."""
    spent = "; ".join(
        f"{name} {', '.join(f'{seconds(workdir / str(s) / name):,.0f}' for s in range(seeds))}"
        for name in names
    )
    libraries = ", ".join(f"{name} {version(name)}" for name in ("jax", "flax", "numpy"))
    return (
        f"Seconds by seed, compilation and evaluation included: {spent}. {platform.machine()}, "
        f"{os.cpu_count()} CPUs, Python {platform.python_version()}, {libraries}, "
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}."
    )


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
