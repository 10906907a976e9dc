"""A run's configuration: a ConfigDict goes in, checked frozen dataclasses come out.

A config file is Python with `get_config() -> ml_collections.ConfigDict`; it states only what
differs from the defaults here. The `config.json` of a run is one too. `--config.rl.group_size=16`
overrides one value.
"""

import ast
import dataclasses
import math
import runpy
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from skinflow_jax import shipped
from skinflow_jax.data.chat import TASKS
from skinflow_jax.data.sources import SOURCES
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.json_file import read_json
from skinflow_jax.models.config import SIZES, DveConfig, LoraConfig, check_trainable
from skinflow_jax.models.decoder import REMAT_POLICIES
from skinflow_jax.models.vlm import ComputeConfig
from skinflow_jax.parallel import MeshConfig
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig
from skinflow_jax.typed_fields import from_dict, typed

_OPTIONS = {"image_size": int, "clutter": float}


def _choose(name: str, value: str, choices) -> None:
    if value not in choices:
        raise ConfigError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")


def _at_least_one(prefix: str, config, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ConfigError(f"{prefix}{name}={value} must be at least 1")


def _check_seed(name: str, value: int) -> None:
    if value < 0:
        raise ConfigError(f"{name}={value} must be 0 or more")


@dataclass(frozen=True)
class ModelChoice:
    """Which model: random weights of a `size`, or the one in folder `init_from`.

    `init_from` is a run's workdir or a Hugging Face folder; it brings its own tokenizer and size.
    `dve` makes the vision tower of a static model dynamic; None keeps it as it comes.
    `extra_width` adds hidden units to a static tower's feed-forward parts. `lora` puts adapters on
    a model that has none; None keeps it as it comes. None of these changes what the model computes
    before it is trained. `trainable`: all parameters, or those of one half (vision or language);
    with adapters, only they and the dynamic maps are trained.
    """

    size: str = "tiny"
    init_from: str | None = None
    dtype: str = "float32"
    remat: str = "none"
    dve: DveConfig | None = None
    extra_width: int = 0
    lora: LoraConfig | None = None
    trainable: str = "all"

    def __post_init__(self):
        check_trainable(self.trainable, self.lora)
        _choose("model.size", self.size, SIZES)
        _choose("model.remat", self.remat, REMAT_POLICIES)
        _choose("model.dtype", self.dtype, ("float32", "bfloat16"))
        if self.extra_width < 0:
            raise ConfigError(f"model.extra_width={self.extra_width} must be 0 or more")

    @property
    def compute(self) -> ComputeConfig:
        """What the forward pass needs to know."""
        return ComputeConfig(self.dtype, self.remat)


@dataclass(frozen=True)
class DataConfig:
    """Which cases, and the static shapes they are packed into.

    `windows`: 112-px windows an image may touch; `prompt_lengths`, `completion_length`: tokens.
    `options` go to the source (procedural: image_size, clutter). A task in `cases_of_task` has
    only so many of the cases.
    """

    source: str = "procedural"
    data_root: str | None = None
    split: str = "rl"
    count: int | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = TASKS
    cases_of_task: Mapping[str, int] = field(default_factory=dict)
    min_pixels: int = 56 * 56
    max_pixels: int = 224 * 224
    prompt_lengths: tuple[int, ...] = (128,)
    windows: tuple[int, ...] = (4,)
    completion_length: int = 64

    def __post_init__(self):
        _choose("data.source", self.source, SOURCES)
        for task in self.tasks:
            _choose("data.tasks", task, TASKS)
        _at_least_one("data.", self, "count", "min_pixels", "completion_length")
        _check_seed("data.seed", self.seed)
        for name, value in self.options.items():
            typed(_OPTIONS.get(name, Any), value, f"data.options.{name}")
        if self.min_pixels > self.max_pixels:
            raise ConfigError(
                f"data.min_pixels={self.min_pixels} exceeds data.max_pixels={self.max_pixels}"
            )
        if self.source != "procedural" and self.data_root is None:
            raise ConfigError(
                f"data.source={self.source!r} is on disk: give its folder as data.data_root "
                "(--config.data.data_root=DIR; skinflow demo: --data-root=DIR)"
            )


@dataclass(frozen=True)
class EvaluationConfig:
    """The held-out cases that a run is evaluated on; `count` None means all of the split."""

    split: str = "heldout"
    count: int | None = 300
    batch_size: int = 32
    tasks: tuple[str, ...] = TASKS

    def __post_init__(self):
        _at_least_one("evaluation.", self, "count", "batch_size")
        for task in self.tasks:
            _choose("evaluation.tasks", task, TASKS)


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
        _at_least_one("", self, "batch_size", "micro_batches")
        _check_seed("seed", self.seed)
        _at_least_one("loop.", self.loop, "steps")
        parts = {"micro_batches": self.micro_batches}
        if self.algorithm == "grpo":
            parts |= {"rl.mini_batches": self.rl.mini_batches}
        if self.batch_size % math.prod(parts.values()):
            divisors = " x ".join(f"{name}={value}" for name, value in parts.items())
            raise ConfigError(f"batch_size={self.batch_size} does not divide into {divisors}")
        if self.algorithm == "grpo":
            self._check_rl()

    @property
    def updates(self) -> int:
        """Optimizer steps a step of the loop."""
        return self.rl.updates if self.algorithm == "grpo" else 1

    def _check_rl(self):
        if self.rl.max_tokens > self.data.completion_length:
            raise ConfigError(
                f"rl.max_tokens={self.rl.max_tokens} exceeds "
                f"data.completion_length={self.data.completion_length}"
            )
        if any(":" in name for name in self.rl.rewards):
            return  # a file of the user's may score any task
        scored = {name.split("_")[0] for name in self.rl.rewards}  # named after their task
        for task in self.data.tasks:
            if task not in scored:
                raise ConfigError(
                    f"data.tasks asks for {task} answers, which no reward of "
                    f"rl.rewards={self.rl.rewards} scores: add {task!r} there or drop the task"
                )


def load_config(path: str | Path | None, overrides: Mapping[str, str] | None = None) -> RunConfig:
    """The config file at `path` (None: all defaults) with dotted overrides, checked.

    Raises ConfigError naming the file, key or value that is wrong.
    """
    values = {} if path is None else read_config(Path(path))
    for key, text in (overrides or {}).items():
        _override(values, key, text)
    return from_dict(RunConfig, values)


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
    except Exception as error:
        lines = [
            f.lineno
            for f in traceback.extract_tb(error.__traceback__, None)
            if f.filename == str(path)
        ]
        where = f"{path}, line {lines[-1]}" if lines else f"{path}"
        raise ConfigError(f"{where}: {type(error).__name__}: {error}") from error
    if get_config is None:
        raise ConfigError(f"{path} defines no function get_config()")
    if not isinstance(config, ConfigDict):
        raise ConfigError(f"{path}: get_config() must return an ml_collections.ConfigDict")
    return config.to_dict()


def _override(values: dict, dotted: str, text: str) -> None:
    *parents, last = dotted.split(".")
    for name in parents:
        if values.get(name) is None:
            values[name] = {}
        values = values[name]
        if not isinstance(values, dict):
            raise ConfigError(f"--config.{dotted}: {name} has no keys of its own")
    values[last] = _value(text)


def _value(text: str):
    """What a shell argument means: a Python literal (`(40, 64)`, `None`), else YAML, else text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def to_dict(config) -> dict:
    """The config as plain JSON values, as `config.json` holds it."""
    return dataclasses.asdict(config)
