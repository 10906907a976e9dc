"""What the files beside predictions.jsonl tell, read as a page needs it or refused by name."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from skinflow_jax.errors import InputError, one_line
from skinflow_jax.evaluation.metrics import Estimate


def read_told(path: Path, version: int | None = None) -> dict[str, Any]:
    """The object of a JSON file, empty where there is none.

    Figures over no cases may be NaN in it, which is no JSON. Raises InputError naming a file that
    is damaged, or of another version than `version`.
    """
    if not path.is_file():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({one_line(error)}): evaluate again") from error
    if not isinstance(known, dict):
        raise InputError(f"{path}: is no JSON object: evaluate again, or remove it")
    if version is not None and known.get("version") != version:
        raise InputError(
            f"{path}: version {known.get('version')!r} is not known here, only {version}: "
            "update, or evaluate again"
        )
    return known


@contextlib.contextmanager
def whole(where: str) -> Iterator[None]:
    """Turn what goes wrong while a form is read into an InputError that says `where`."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{where} is damaged: evaluate again, or remove it") from error


def estimate_of(told: Mapping[str, Any]) -> Estimate:
    """A figure; null stands for NaN. Raises ValueError for one of cases that has no value."""
    value, low, high = (number_of(told.get(name)) for name in ("value", "low", "high"))
    n, groups = int(told["n"]), told.get("groups")
    if n and not math.isfinite(value):
        raise ValueError("a figure without a value")
    return Estimate(value, low, high, n, None if groups is None else int(groups))


def number_of(told: Any) -> float:
    """A number, NaN for null."""
    return math.nan if told is None else float(told)
