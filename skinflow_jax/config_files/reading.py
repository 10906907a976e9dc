"""What a config file and the command line say, as nested values that nobody has checked yet."""

import ast
import contextlib
import runpy
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from skinflow_jax.config_files import shipped
from skinflow_jax.errors import STOPPED, ConfigError, InputError, one_line
from skinflow_jax.json_file import read_json

_WORDS = {"true": True, "false": False, "null": None}
_WORDS |= {text: float(text) for text in ("nan", "inf", "-inf")}


def read_config(path: Path) -> dict:
    """What a config file, or the shipped one of that name, says, unchecked. Raises ConfigError."""
    path = shipped.config_file(path)
    if not path.is_file():
        hint = f"give a config file, or a shipped one by name: {', '.join(shipped.names())}"
        if "=" in path.name:
            hint = f"to change one value write --config.{path.name}"
        raise ConfigError(f"--config: {path} is not a file: {hint}")
    return _read_json(path) if path.suffix == ".json" else _run(path)


def _read_json(path: Path) -> dict:
    try:
        return read_json(path)
    except InputError as error:
        raise ConfigError(str(error)) from error


def _run(path: Path) -> dict:
    try:
        get_config = runpy.run_path(str(path)).get("get_config")
        config = get_config() if callable(get_config) else None
        values = config.to_dict() if isinstance(config, ConfigDict) else None
    except STOPPED:
        raise
    except BaseException as error:  # SystemExit too: a run that did not begin is no success
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else f"{path}"
        raise ConfigError(f"{where}: {one_line(error)}") from error
    if get_config is None:
        raise ConfigError(f"{path} defines no function get_config()")
    if values is None:
        raise ConfigError(f"{path}: get_config() must return an ml_collections.ConfigDict")
    return values


_GROUPS = ("data", "model", "optimizer", "loop", "rl", "evaluation", "mesh")


def with_overrides(values: dict, overrides: Mapping[str, Any]) -> dict:
    """`values` with those of dotted keys (`rl.group_size`) put in.

    A text is what people write in a shell (see `override_value`); other values stay as they are.

    Raises ConfigError for an empty key or value, for a key within what has no keys, and where one
    override would replace another.
    """
    for dotted, text in overrides.items():
        inside = [key for key in overrides if key.startswith(f"{dotted}.")]
        if inside:
            raise ConfigError(
                f"--config.{dotted} and --config.{inside[0]} set the same value: leave one"
            )
        _override(values, dotted, text)
    return values


def _override(values: dict, dotted: str, given: Any) -> None:
    *parents, last = parts = dotted.split(".")
    if not all(part.strip() for part in parts):
        raise ConfigError(f"--config.{dotted}={given}: a name in the key is empty")
    if isinstance(given, str) and not given.strip():
        raise ConfigError(
            f"--config.{dotted}= has no value: write --config.{dotted}=VALUE, or None for none"
        )
    for name in parents:
        if values.get(name) is None:
            values[name] = {}
        values = values[name]
        if not isinstance(values, dict):
            raise ConfigError(f"--config.{dotted}: {name} has no keys of its own")
    if isinstance(given, dict) and isinstance(values.get(last), dict) and dotted in _GROUPS:
        raise ConfigError(
            f"config {dotted} is a group: override its fields one by one, {dotted}.NAME=VALUE"
        )
    values[last] = override_value(given) if isinstance(given, str) else given


def override_value(text: str) -> Any:
    """What a shell argument means: a Python literal (`(40, 64)`, `None`), a word of JSON's
    or of a number's (`true`, `null`, `nan`), a list of bare words (`[caption, diagnosis]`), else
    the text itself.
    """
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the literal's own, such as an unknown escape
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return ast.literal_eval(text)
    words = text[1:-1].split(",")
    if text[0] + text[-1] == "[]" and all(word.strip() for word in words):
        return tuple(override_value(word) for word in words)
    return text
