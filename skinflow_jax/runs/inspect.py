"""What a run's checkpoints are: a table of steps, their facts, sizes and damage."""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from skinflow_jax.checkpoints.checksums import check_files, unsummed_files
from skinflow_jax.checkpoints.reading import MODEL_CONFIG
from skinflow_jax.checkpoints.step_folders import METRICS, read_seal, step_folders
from skinflow_jax.checkpoints.storage_errors import cause
from skinflow_jax.command.standard_output import Console
from skinflow_jax.data.manifest import hash_of
from skinflow_jax.errors import InputError, printable, shortened
from skinflow_jax.runs.resume_rules import flat
from skinflow_jax.runs.workdir import CHECKPOINTS, SOURCE, TOKENIZER
from skinflow_jax.storage.paths import files_in, is_folder, reaching, size

WHOLE, UNVERIFIED = "whole", "unverified: no checksums"


def inspect_checkpoint(folder: Path) -> None:
    """Print a run's steps; every file is read and compared with its checksum.

    `folder`: a workdir, or its folder of checkpoints. A damaged step is part of the answer, no
    error. Raises InputError where there is no run.
    """
    with reaching(folder):
        checkpoints = folder / CHECKPOINTS if is_folder(folder / CHECKPOINTS) else folder
        steps = step_folders(checkpoints)
    if not steps:
        raise InputError(f"{folder} holds no checkpoint: give the workdir of a run")
    table = Table("step", "size", "state", "metrics", title=printable(str(checkpoints)))
    table.columns[0].justify = table.columns[1].justify = "right"
    common, told = _common_facts(checkpoints, steps), []
    for step in steps:
        where = checkpoints / str(step)
        facts, metrics = _facts(where)
        own = {name: value for name, value in facts.items() if name not in common}
        told += [f"step {step}: {name}: {_shown(value)}" for name, value in own.items()]
        table.add_row(str(step), _size(where), state_of(where), _listed(metrics))
    console = Console()
    console.print(table)
    # The config is in config.json: here stands what a resume has changed of it.
    shared = [f"{k}: {_shown(v)}" for k, v in common.items() if not k.startswith("config.")]
    for line in [*shared, *told]:
        console.print(escape(line), highlight=False, soft_wrap=True)


def state_of(where: Path) -> str:
    """One of `WHOLE`, `UNVERIFIED`, or what is damaged."""
    try:
        read_seal(where)
        if not check_files(where):
            return UNVERIFIED
        extra = unsummed_files(where)
    except (InputError, OSError) as error:
        told = cause(error, where) or error
        return escape(printable(f"damaged: {told}".replace(f"{where}/", "")))
    return WHOLE if not extra else escape(printable(f"{WHOLE}, and files of others: {extra}"))


def _facts(where: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(facts by dotted name, metrics) of a step; nothing where they cannot be read."""
    try:
        facts, seal = read_seal(where)
    except (InputError, OSError):
        return {}, {}
    facts = {name: value for name, value in facts.items() if name != MODEL_CONFIG}
    for name in (TOKENIZER, SOURCE):
        if facts.get(name):
            facts[name] = hash_of(facts[name])
    return flat(facts), seal.get(METRICS, {})


def _common_facts(checkpoints: Path, steps: list[int]) -> dict[str, Any]:
    """The facts that all readable checkpoints share."""
    found = [facts for step in steps if (facts := _facts(checkpoints / str(step))[0])]
    first = found[0] if found else {}
    return {k: v for k, v in first.items() if all(f.get(k, f) == v for f in found)}


def _size(where: Path) -> str:
    total = sum(map(size, files_in(where)))
    for unit in ("B", "kB", "MB"):
        if total < 1000:
            return f"{total:.0f} {unit}"
        total /= 1000
    return f"{total:,.1f} GB"


def _listed(metrics: dict[str, Any]) -> str:
    return escape(printable(", ".join(f"{k} {v:.4g}" for k, v in metrics.items())))


def _shown(value: Any) -> str:
    return printable(shortened(value if isinstance(value, str) else repr(value)))
