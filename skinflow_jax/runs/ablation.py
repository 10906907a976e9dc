"""`skinflow ablation`: what each part of the method is worth, over several seeds.

Every row starts from the same warm-up of its seed, goes through its own stages and is evaluated on
the same held-out cases. Seeds draw data, weights and samples.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skinflow_jax.command.standard_output import Console
from skinflow_jax.config import ModelChoice, RunConfig, load_config, read_config
from skinflow_jax.errors import ConfigError
from skinflow_jax.evaluation.intervals import t_interval
from skinflow_jax.models.layers import parameter_count
from skinflow_jax.parallel.agreement import by_the_first
from skinflow_jax.runs.cases import heldout_cases
from skinflow_jax.runs.evaluate import evaluate_policy
from skinflow_jax.runs.train import train
from skinflow_jax.storage.paths import write_whole
from skinflow_jax.typed_fields import from_dict

WARM_UP = "warmup"
METRICS = ("caption reward", "Top-1", "Top-6", "safety-critical")


@dataclass(frozen=True)
class Row:
    """A way to train: the stages after the warm-up, and what the first of them does to the model.

    `against` names the row that this one differs from in one thing.
    """

    description: str
    stages: tuple[str, ...]
    model: ModelChoice = field(default_factory=ModelChoice)
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ablation:
    """Rows by name, in their order, and the run of each stage."""

    rows: dict[str, Row]
    stages: dict[str, RunConfig]


def load_ablation(folder: Path) -> Ablation:
    """A folder of rows, `NAME.py`, and of stages, `stages/NAME.py`.

    Raises ConfigError when one is missing or a row names a stage or row that is not there.
    """
    stages = {path.stem: load_config(path) for path in sorted((folder / "stages").glob("*.py"))}
    rows = {path.stem: from_dict(Row, read_config(path)) for path in sorted(folder.glob("*.py"))}
    if not rows or WARM_UP not in stages:
        raise ConfigError(f"{folder} needs rows NAME.py and a stages/{WARM_UP}.py")
    for name, row in rows.items():
        for kind, wanted, there in (("stage", row.stages, stages), ("row", row.against, rows)):
            for other in wanted:
                if other not in there:
                    raise ConfigError(
                        f"{folder / name}.py: there is no {kind} {other!r}, only {', '.join(there)}"
                    )
    return Ablation(rows, stages)


def run_ablation(folder: Path, seeds: Sequence[int], workdir: Path) -> str:
    """Train what is not there yet, then print and write the table; returns it as Markdown.

    A row of a seed that has been evaluated is not trained again: an interrupted ablation goes on
    where it was, and several can share the seeds.
    """
    ablation, console = load_ablation(folder), Console()
    for seed in seeds:
        for name in ablation.rows:
            if not by_the_first(_result(workdir, seed, name).is_file):
                console.rule(f"seed {seed}, {name}")
                _train_row(ablation, name, seed, workdir / str(seed))
    text = by_the_first(functools.partial(_write_report, ablation, seeds, workdir))
    console.print(text, markup=False, soft_wrap=True)
    return text


def _write_report(ablation: Ablation, seeds: Sequence[int], workdir: Path) -> str:
    results = {
        name: [json.loads(_result(workdir, seed, name).read_text()) for seed in seeds]
        for name in ablation.rows
    }
    text = report(ablation, results)
    (workdir / "ablation.md").write_text(text, encoding="utf-8")
    return text


def _result(workdir: Path, seed: int, name: str) -> Path:
    return workdir / str(seed) / name / "result.json"


def _train_row(ablation: Ablation, name: str, seed: int, workdir: Path) -> None:
    """A stage that is done already, such as the warm-up that the rows share, is only read."""
    row, records = ablation.rows[name], workdir / "records"

    def run(stage, model, folder):
        config = dataclasses.replace(seeded(ablation.stages[stage], seed), model=model)
        title = f"seed {seed}, {name}, {stage}"
        return config, train(config, folder, resume=True, records_folder=records, title=title)

    folder = workdir / WARM_UP
    config, policy = run(WARM_UP, ablation.stages[WARM_UP].model, folder)
    for place, stage in enumerate(row.stages):
        changes = ModelChoice() if place else row.model
        model = dataclasses.replace(changes, init_from=str(folder))
        folder = workdir / name / stage
        config, policy = run(stage, model, folder)
    heldout, floor = heldout_cases(config, records)
    summary = evaluate_policy(policy, config, heldout, floor, workdir / name)
    facts = {"tower parameters": parameter_count(policy.model.vision)}

    def write() -> None:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        facts["step time"] = float(np.median([json.loads(line)["step_time"] for line in lines]))
        text = json.dumps(summary.to_dict() | facts, indent=1, allow_nan=False)
        write_whole(_result(workdir.parent, seed, name), text)

    by_the_first(write)


def seeded(config: RunConfig, seed: int) -> RunConfig:
    """The run with another seed of data, weights and samples."""
    return dataclasses.replace(config, seed=seed, data=dataclasses.replace(config.data, seed=seed))


def report(ablation: Ablation, results: dict[str, list[dict]]) -> str:
    """Markdown: means over seeds, then differences between rows, each with its t interval."""
    seeds = len(next(iter(results.values())))
    table = ["| row | " + " | ".join(METRICS) + " | tower parameters |"]
    table.append("| --- |" + " ---: |" * (len(METRICS) + 1))
    for name, row in ablation.rows.items():
        cells = [_interval(_values(results[name], m), m) for m in METRICS]
        parameters = results[name][0]["tower parameters"]
        table.append(f"| {name}: {row.description} | {' | '.join(cells)} | {parameters:,} |")
    lines = []
    for name, row in ablation.rows.items():
        for other in row.against:
            cells = [
                f"{metric} "
                + _interval(
                    _values(results[name], metric) - _values(results[other], metric), metric, "+"
                )
                for metric in METRICS
            ]
            lines.append(f"* {name} - {other}: " + "; ".join(cells))
    note = f"Means over {seeds} seeds with 95 % t intervals; differences are paired by seed."
    return "\n".join([*table, "", note, "", *lines, ""])


def _values(results: list[dict], metric: str) -> np.ndarray:
    return np.array([result[metric]["value"] for result in results])


def _interval(values: np.ndarray, metric: str, sign: str = "") -> str:
    """Mean and 95 % t interval over seeds; shares in per cent. Equal seeds have no interval."""
    scale, digits = (1, 3) if metric == "caption reward" else (100, 1)
    mean = f"{values.mean() * scale:{sign}.{digits}f}"
    low, high = (scale * end for end in t_interval(values))
    if math.isnan(low):
        return f"{mean} [n/a]"
    return f"{mean} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
