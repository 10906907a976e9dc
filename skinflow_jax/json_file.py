"""JSON objects from files: one reader, one wording of what is wrong with them."""

import json
from pathlib import Path
from typing import Any

from skinflow_jax.errors import InputError


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`.

    Raises InputError naming the file when it is absent, not JSON, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: is its folder the right one?") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): restore the file") from error
    if not isinstance(found, dict):
        raise InputError(
            f"{path} must hold a JSON object, not a {type(found).__name__}: restore the file"
        )
    return found
