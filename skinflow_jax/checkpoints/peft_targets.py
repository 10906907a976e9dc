"""Which maps an adapter_config.json says are adapted, as PEFT matches them.

PEFT passes over the tensors of a map that it does not find named there: the config is as much part
of an adapter as its weights. Source: `check_target_module_exists` of peft.
"""

import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from skinflow_jax.checkpoints.names import nested_name
from skinflow_jax.errors import InputError
from skinflow_jax.typed_fields import shown

_ALL = "all-linear"
MOST_SECONDS = 10
# A stranger's regular expression may run for ever, and nothing but another process can end it.
_MATCH = """
import json, re, sys
pattern, names = json.load(sys.stdin)
json.dump([name for name in names if re.fullmatch(pattern, name)], sys.stdout)
"""


def check_targets(fields: Mapping[str, Any], maps: Collection[str], path: Path) -> None:
    """Raise InputError unless PEFT adapts all of `maps`, the hub's names of maps with tensors.

    `fields`: of the adapter_config.json at `path`. It may be written for the names of modules in
    transformers 4 or 5.
    """
    left_out: Collection[str] = ()
    for names in (sorted(map(nested_name, maps)), sorted(maps)):
        chosen = set(names)
        if fields.get("target_modules") is not None:
            chosen = _matching("target_modules", fields, names, path)
        if fields.get("exclude_modules") is not None:
            chosen -= _matching("exclude_modules", fields, names, path)
        left_out = left_out or [name for name in names if name not in chosen]
        if chosen.issuperset(names):
            return
    raise InputError(
        f"{path}: by its target_modules and exclude_modules PEFT leaves out {left_out[0]}, which "
        "has tensors beside it: the two must be of one adapter"
    )


def _matching(
    field: str, fields: Mapping[str, Any], names: Collection[str], path: Path
) -> set[str]:
    stated = fields[field]
    if stated == _ALL:
        return set(names)
    if isinstance(stated, str):
        return set(_by_pattern(field, stated, names, path))
    if not isinstance(stated, list) or not all(isinstance(end, str) for end in stated):
        raise InputError(
            f"{path}: {field}={shown(stated)} must be a list of names or a pattern: correct it"
        )
    ends = tuple(f".{end}" for end in stated)
    return {name for name in names if f".{name}".endswith(ends)}


def _by_pattern(field: str, pattern: str, names: Collection[str], path: Path) -> list[str]:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _MATCH],
            input=json.dumps([pattern, list(names)]),
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{path}: {field}={shown(pattern)} takes longer than {MOST_SECONDS:g} seconds: name "
            "the modules instead"
        ) from error
    if done.returncode:
        raise InputError(f"{path}: {field}={shown(pattern)} is no regular expression: correct it")
    return json.loads(done.stdout)
