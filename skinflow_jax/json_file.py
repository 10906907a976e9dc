"""JSON objects from files: one reader, one wording of what is wrong with them."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from skinflow_jax.errors import InputError, shortened


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; a byte order mark before it is passed over.

    Raises InputError naming the file when it is absent or cannot be read, is not JSON, names a key
    twice in one object, holds a number that is not finite, or holds something else than an object.
    """
    try:
        found = json.loads(
            path.read_bytes().decode("utf-8-sig"),
            object_pairs_hook=_unique_keys,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: is its folder the right one?") from error
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid JSON: not UTF-8 text: restore the file") from error
    except RecursionError as error:
        raise InputError(
            f"{path} is not valid JSON: it is nested too deeply: restore the file"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): restore the file") from error
    if not isinstance(found, dict):
        raise InputError(
            f"{path} must hold a JSON object, not a {type(found).__name__}: restore the file"
        )
    return found


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shortened(repr(twice), 60)} occurs twice")
    return found


def _finite(text: str) -> float:
    """A number as JSON writes it; `NaN` and `Infinity` are none, and 1e999 becomes infinite."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
