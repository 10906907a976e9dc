"""A run's configuration: a ConfigDict goes in, checked frozen dataclasses come out.

A config file is Python with `get_config() -> ml_collections.ConfigDict`; it states only what
differs from the defaults here. `--config.rl.group_size=16` overrides one value.
"""

import dataclasses
import difflib
import runpy
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from skinflow_jax.data.chat import TASKS
from skinflow_jax.data.sources import SOURCES
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import SIZES
from skinflow_jax.models.decoder import REMAT_POLICIES
from skinflow_jax.models.vlm import ComputeConfig
from skinflow_jax.parallel import MeshConfig
from skinflow_jax.rl.learner import GrpoConfig
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig


def _choose(name: str, value: str, choices) -> None:
    if value not in choices:
        raise ConfigError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")


@dataclass(frozen=True)
class ModelChoice:
    """Which model: random weights of a `size`, or the one in folder `init_from`.

    `init_from` is a run's workdir or a Hugging Face folder; it brings its own tokenizer and size.
    """

    size: str = "tiny"
    init_from: str | None = None
    dtype: str = "float32"
    remat: str = "none"

    def __post_init__(self):
        _choose("model.size", self.size, SIZES)
        _choose("model.remat", self.remat, REMAT_POLICIES)
        _choose("model.dtype", self.dtype, ("float32", "bfloat16"))

    @property
    def compute(self) -> ComputeConfig:
        """What the forward pass needs to know."""
        return ComputeConfig(self.dtype, self.remat)


@dataclass(frozen=True)
class DataConfig:
    """Which cases, and the static shapes they are packed into.

    `windows`: 112-px windows an image may touch; `prompt_lengths`, `completion_length`: tokens.
    `options` go to the source (procedural: image_size, clutter).
    """

    source: str = "procedural"
    data_root: str | None = None
    split: str = "rl"
    count: int | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = TASKS
    min_pixels: int = 56 * 56
    max_pixels: int = 224 * 224
    prompt_lengths: tuple[int, ...] = (128,)
    windows: tuple[int, ...] = (4,)
    completion_length: int = 64

    def __post_init__(self):
        _choose("data.source", self.source, SOURCES)
        for task in self.tasks:
            _choose("data.tasks", task, TASKS)


@dataclass(frozen=True)
class EvaluationConfig:
    """The held-out cases that a run is judged on; 0 cases means all of the split."""

    split: str = "heldout"
    count: int | None = 300
    batch_size: int = 32
    tasks: tuple[str, ...] = TASKS


@dataclass(frozen=True)
class RunConfig:
    """One run of `skinflow train`. `batch_size` counts prompts over all devices."""

    algorithm: str = "sft"
    seed: int = 0
    batch_size: int = 16
    micro_batches: int = 1
    model: ModelChoice = field(default_factory=ModelChoice)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=100))
    rl: GrpoConfig = field(default_factory=GrpoConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)

    def __post_init__(self):
        _choose("algorithm", self.algorithm, ("sft", "grpo"))
        if self.batch_size % self.micro_batches:
            raise ConfigError(
                f"batch_size={self.batch_size} does not divide into "
                f"micro_batches={self.micro_batches}"
            )
        if self.algorithm == "grpo" and self.rl.max_tokens > self.data.completion_length:
            raise ConfigError(
                f"rl.max_tokens={self.rl.max_tokens} exceeds "
                f"data.completion_length={self.data.completion_length}"
            )


def load_config(path: str | Path | None, overrides: Mapping[str, str] | None = None) -> RunConfig:
    """The config file at `path` (None: all defaults) with dotted overrides, checked.

    Raises ConfigError naming the file, key or value that is wrong.
    """
    values = {} if path is None else _read(Path(path))
    for key, text in (overrides or {}).items():
        _override(values, key, text)
    return from_dict(RunConfig, values)


def _read(path: Path) -> dict:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: give a config file such as configs/debug_sft.py")
    try:
        config = runpy.run_path(str(path))["get_config"]()
    except KeyError as error:
        raise ConfigError(f"{path} defines no function get_config()") from error
    except Exception as error:
        raise ConfigError(f"{path} fails: {type(error).__name__}: {error}") from error
    if not isinstance(config, ConfigDict):
        raise ConfigError(f"{path}: get_config() must return an ml_collections.ConfigDict")
    return config.to_dict()


def _override(values: dict, dotted: str, text: str) -> None:
    *parents, last = dotted.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--config.{dotted}: {name} has no fields")
    values[last] = yaml.safe_load(text)


def from_dict(cls: type, values: Mapping[str, Any], where: str = ""):
    """A dataclass from nested mappings, every key known and every value of its type."""
    hints = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            known = ", ".join(sorted(fields))
            hint = f"did you mean {where}{near[0]}?" if near else f"the keys there are {known}"
            raise ConfigError(f"unknown config key {where}{key}: {hint}")
    typed = {key: _typed(hints[key], value, where + key) for key, value in values.items()}
    try:
        return cls(**typed)
    except TypeError as error:
        raise ConfigError(f"config {where or 'root'}: {error}") from error


def _typed(hint, value, where: str):
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"config {where}={value!r} must be a group of keys")
        return from_dict(hint, value, where + ".")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _typed(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else (value,)
        return tuple(_typed(arguments[0], item, where) for item in items)
    if origin is not None:
        expected = origin
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif hint is float and isinstance(value, str):
        # YAML reads 1e-6 as text; people write it all the time.
        try:
            return float(value)
        except ValueError as error:
            raise ConfigError(f"config {where}={value!r} must be a number") from error
    else:
        expected = hint
    if expected is Any or (
        isinstance(value, expected) and not (isinstance(value, bool) and expected is int)
    ):
        return value
    raise ConfigError(f"config {where}={value!r} must be of type {expected.__name__}")


def to_dict(config) -> dict:
    """The config as plain JSON values, as `config.json` holds it."""
    return dataclasses.asdict(config)
