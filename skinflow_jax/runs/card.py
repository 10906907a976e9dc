"""A run told on its model card: stages, data, metrics. From its facts and evaluations alone."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from skinflow_jax.checkpoints.model_card import Card
from skinflow_jax.checkpoints.run_state import read_facts
from skinflow_jax.errors import InputError, printable
from skinflow_jax.evaluation.metrics import FEW
from skinflow_jax.evaluation.tables import FEW_SIGN
from skinflow_jax.json_file import read_json
from skinflow_jax.runs.workdir import CHECKPOINTS, EVAL, RECORDS
from skinflow_jax.storage.paths import is_file, is_folder, storage_path

_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
_ALGORITHMS = {"sft": "supervised learning", "grpo": "GRPO"}
_MOST_STAGES = 16
METRICS = "metrics.json"


def run_card(workdir: Path, step: int | None, config: Mapping[str, Any] | None = None) -> Card:
    """The card of a run's checkpoint, or of an import.

    Args:
      workdir: of the run; its name is the model's.
      step: of the checkpoint.
      config: the config.json of the Hugging Face folder that the model descends from, if it does:
        it may say what that folder is called on the hub.
    """
    stages = list(_stages(workdir, step))
    sections = {
        "Training": _listed(_stage(*stage) for stage in stages),
        "Training data": _listed(_data(*stage[:2]) for stage in stages if "config" in stage[1]),
        "Evaluation": _evaluation(workdir, step),
    }
    stated = str((config or {}).get("_name_or_path", ""))
    base = stated if _HUB_NAME.fullmatch(stated) else None
    return Card(printable(workdir.name), {k: v for k, v in sections.items() if v}, base)


def _listed(lines) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _stages(workdir: Path, step: int | None) -> Iterator[tuple[Path, dict, int | None]]:
    """(workdir, facts, step) of the run and what it started from, the first of them first."""
    found, place = [], workdir
    while len(found) < _MOST_STAGES:
        facts = _facts(place, step)
        found.append((place, facts, step))
        origin = facts.get("origin") or {}
        if not origin.get("folder"):
            break
        place, step = storage_path(origin["folder"]), origin.get("step")
    return reversed(found)


def _facts(place: Path, step: int | None) -> dict[str, Any]:
    """Empty where there is no such run any more, or it never was one."""
    try:
        if is_folder(place / CHECKPOINTS):
            return read_facts(place / CHECKPOINTS, step)
    except (InputError, OSError):
        pass
    return {}


def _stage(place: Path, facts: Mapping[str, Any], step: int | None) -> str:
    name = printable(place.name)
    if "config" not in facts:
        what = facts.get("imported_from")
        return f"{name}: pretrained weights" + (f", of {Path(what).name}" if what else "")
    config = facts["config"]
    model, began = config["model"], (facts.get("origin") or {}).get("folder")
    parts = [
        f"{_ALGORITHMS.get(config['algorithm'], config['algorithm'])}, seed {config['seed']}",
        f"step {step}" if step is not None else "",
        "dynamic vision encoder" if model.get("dve") else "",
        f"LoRA of rank {model['lora']['rank']}" if model.get("lora") else "",
        f"rewards {', '.join(config['rl']['rewards'])}" if config["algorithm"] == "grpo" else "",
        f"from {Path(began).name}" if began else f"from random weights of size {model['size']}",
        f"program {facts['code']}" if "code" in facts else "",
    ]
    return f"{name}: {', '.join(filter(None, parts))}"


def _data(place: Path, facts: Mapping[str, Any]) -> str:
    data = facts["config"]["data"]
    parts = [
        f"{printable(place.name)}: source {data['source']}",
        f"split {data['split']}",
        f"{data['count']:,} cases at most" if data["count"] else "all its cases",
        f"tasks {' and '.join(data['tasks'])}",
        f"digest `{facts['data']}`" if "data" in facts else "",
    ]
    return ", ".join(filter(None, parts)) + _note(place, facts)


def _note(place: Path, facts: Mapping[str, Any]) -> str:
    """How many there were, and what the source says of itself, where the records are at hand."""
    data = facts["config"]["data"]
    count = [] if data["count"] is None else [str(data["count"])]
    records = place / RECORDS / "-".join([data["source"], data["split"], *count])
    manifest = records / "manifest.json"
    stated = read_json(manifest) if is_file(manifest) else {}
    if not stated or stated.get("digest") != facts.get("data"):
        return ""
    note = f" {stated['note']}" if stated.get("note") else ""
    return f"; {stated['count']:,} cases used.{note}"


def _evaluation(workdir: Path, step: int | None) -> str:
    """A table of the newest evaluation; empty where there is none."""
    folder = workdir / EVAL
    found = folder.iterdir() if is_folder(folder) else ()
    steps = [int(p.name) for p in found if p.name.isdecimal() and is_file(p / METRICS)]
    if not steps:
        return ""
    newest = max(steps)
    metrics = _metrics(folder / str(newest) / METRICS)
    baseline = metrics.pop("majority baseline", None)
    if baseline:
        metrics[f"majority baseline ({baseline['label']})"] = baseline["accuracy"]
    other = "" if newest == step else f" (these weights are of step {step})"
    head = f"Greedy answers to held-out cases at step {newest}{other}; shares between 0 and 1"
    figures = {
        name: x
        for name, x in metrics.items()
        if isinstance(x, dict) and {"value", "low", "high", "n"} <= x.keys() and x["n"]
    }
    rows = [
        f"| {name} | {x['value']:.3f} | {x['low']:.3f} to {x['high']:.3f} "
        f"| {x['n']:,}{FEW_SIGN if x.get('few') else ''} |"
        for name, x in figures.items()
    ]
    if any(x.get("few") for x in figures.values()):
        head += f"; {FEW_SIGN}: fewer than {FEW} cases or groups"
    table = ["| | value | 95 % interval | n |", "| --- | ---: | ---: | ---: |", *rows]
    return f"{head}.\n\n" + "\n".join(table)


def _metrics(path: Path) -> dict[str, Any]:
    """Of an evaluation; figures over no cases are NaN there, which is no JSON."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: evaluate again, or remove it") from error
