"""A run's configuration: a ConfigDict goes in, checked frozen dataclasses come out.

A config file is Python with `get_config() -> ml_collections.ConfigDict`; it states only what
differs from the defaults here. The `config.json` of a run is one too. `--config.rl.group_size=16`
overrides one value.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from skinflow_jax.config_files.reading import read_config, with_overrides
from skinflow_jax.data.augmentation import AUGMENTATIONS
from skinflow_jax.data.sources.catalogue import CATALOGUE, check_options
from skinflow_jax.data.sources.procedural import SPLITS
from skinflow_jax.data.tasks import PAPERS, TASKS
from skinflow_jax.errors import ConfigError
from skinflow_jax.evaluation.voting import Lists
from skinflow_jax.models.config import (
    SIZES,
    TRAINABLE,
    DveConfig,
    LoraConfig,
    check_trainable,
)
from skinflow_jax.models.decoder import REMAT_POLICIES
from skinflow_jax.models.vlm import ComputeConfig
from skinflow_jax.parallel import MeshConfig
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.token_choice import LEAST_TEMPERATURE, MOST_TEMPERATURE
from skinflow_jax.storage.paths import storage_path
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig
from skinflow_jax.typed_fields import (
    INT32_MAX,
    MOST_TOKENS,
    Finite,
    OneOf,
    Place,
    Seed,
    Several,
    Text,
    Whole,
    check_fields,
    from_dict,
    shown,
    typed,
)

Length = Annotated[int, Whole(1, MOST_TOKENS)]
Lengths = Annotated[tuple[Length, ...], Several(rising=True)]
Pixels = Annotated[int, Whole(1, 2**26)]
Count = Annotated[int, Whole(1, 100_000_000)]
Rows = Annotated[int, Whole(1, 1_000_000)]
Task = Annotated[str, OneOf(TASKS)]
Tasks = Annotated[tuple[Task, ...], Several()]
Split = Annotated[str, Text()]
Augmentation = Annotated[str, OneOf(AUGMENTATIONS)]
OPTIONS = {
    "image_size": Annotated[int, Whole(28, 8192)],
    "clutter": Annotated[float, Finite(0, 1)],
}


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

    size: Annotated[str, OneOf(SIZES)] = "tiny"
    init_from: Annotated[str, Place(bucket=True)] | None = None
    dtype: Annotated[str, OneOf(("float32", "bfloat16"))] = "float32"
    remat: Annotated[str, OneOf(REMAT_POLICIES)] = "none"
    dve: DveConfig | None = None
    extra_width: Annotated[int, Whole(0, 1_000_000)] = 0
    lora: LoraConfig | None = None
    trainable: Annotated[str, OneOf(TRAINABLE)] = "all"

    def __post_init__(self):
        check_fields(self, "model.")
        check_trainable(self.trainable, self.lora)

    @property
    def compute(self) -> ComputeConfig:
        """What the forward pass needs to know."""
        return ComputeConfig(self.dtype, self.remat)


@dataclass(frozen=True)
class SourceChoice:
    """A data set of `data.sources.catalogue`: its folder, and its options as its class has them.

    `name`: in front of its cases' ids, where two are of one kind.
    """

    source: Annotated[str, OneOf(CATALOGUE)]
    data_root: Annotated[str, Place()]
    options: Mapping[str, Any] = field(default_factory=dict)
    name: Annotated[str, Text()] | None = None

    def __post_init__(self):
        check_fields(self, "data.more.")
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9_.-]+", self.name):
            raise ConfigError(f"data.more.name={self.name!r} must be letters, digits, _ . or -")
        options = check_options(self.source, self.options, "data.more.options.")
        object.__setattr__(self, "options", options)


@dataclass(frozen=True)
class DataConfig:
    """Which cases, and the static shapes they are packed into.

    `source` is "procedural" or a data set in `data_root`; `more` are built with it, and all of them
    split together: by group, without near-duplicates, each of `fractions` taking its share, or as
    the list `split_by` says: a file or folder of lists, "owner" for the splits that owners publish,
    "fitzpatrick17k_test1000" for this project's. `previous`: an earlier build, whose cases stay in
    their splits. `options` go to the source (procedural: image_size, clutter). A task in
    `cases_of_task` has only so many of the cases. `caption_schema`: a file of yours, or a shipped
    one ("clinical", "dermoscopy"); `captions`: a file that `skinflow data caption` wrote, for cases
    of data sets on disk. `max_skipped`: share of the cases that may be
    unusable. `windows`: 112-px windows an image may touch; `prompt_lengths`, `completion_length`:
    tokens. Of training alone: `balance` draws each "class" (diagnosis), or each value of a named
    attribute, equally often; `like_sizes` examples in a row fit the same buckets, so that little is
    padded; `augmentation` names changes of the images.
    """

    source: Annotated[str, OneOf(("procedural", *CATALOGUE))] = "procedural"
    data_root: Annotated[str, Place()] | None = None
    more: tuple[SourceChoice, ...] = ()
    fractions: Mapping[Split, Annotated[float, Finite(0, 1)]] = field(
        default_factory=lambda: {"warmup": 0.4, "rl": 0.4, "heldout": 0.2}
    )
    split_by: Annotated[str, Place()] | None = None
    previous: Annotated[str, Place()] | None = None
    max_skipped: Annotated[float, Finite(0, 1)] = 0.02
    caption_schema: Annotated[str, Place()] = "clinical"
    captions: Annotated[str, Place()] | None = None
    split: Split = "rl"
    count: Count | None = None
    seed: Seed = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    tasks: Tasks = PAPERS
    cases_of_task: Mapping[Task, Annotated[int, Whole(0)]] = field(default_factory=dict)
    min_pixels: Pixels = 56 * 56
    max_pixels: Pixels = 224 * 224
    prompt_lengths: Lengths = (128,)
    windows: Lengths = (4,)
    completion_length: Length = 64
    balance: Annotated[str, Text()] | None = None
    like_sizes: Annotated[int, Whole(0)] = 0
    augmentation: Annotated[tuple[Augmentation, ...], Several(least=0)] = ()

    def __post_init__(self):
        check_fields(self, "data.")
        if self.min_pixels > self.max_pixels:
            raise ConfigError(
                f"data.min_pixels={self.min_pixels} exceeds data.max_pixels={self.max_pixels}"
            )
        if self.source != "procedural" and self.data_root is None:
            raise ConfigError(
                f"data.source={self.source!r} is on disk: give its folder as data.data_root "
                "(--config.data.data_root=DIR; skinflow demo: --data-root=DIR)"
            )
        object.__setattr__(self, "options", _options(self.source, self.options))
        if self.source == "procedural" and self.more:
            raise ConfigError(
                "data.more goes with a data set on disk: data.source='procedural' draws its cases"
            )
        captions = self.caption_schema, self.captions
        if self.source == "procedural" and captions != ("clinical", None):
            raise ConfigError(
                "data.captions and data.caption_schema go with a data set on disk: "
                "data.source='procedural' draws by the clinical schema"
            )
        if abs(sum(self.fractions.values()) - 1) > 1e-6:
            raise ConfigError(f"data.fractions={dict(self.fractions)} must sum to 1")
        self.check_split(self.split, "data.split")

    def check_split(self, split: str, where: str) -> None:
        """Raise ConfigError, naming the key `where`, for a split that these data cannot have."""
        known = SPLITS if self.source == "procedural" else self.fractions
        if self.split_by is None and split not in known:
            raise ConfigError(
                f"config {where}={shown(split)} is unknown: choose one of {', '.join(known)}"
            )

    @property
    def sources(self) -> tuple[SourceChoice, ...]:
        """The data sets on disk that are built together."""
        return (SourceChoice(self.source, self.data_root, self.options), *self.more)


@dataclass(frozen=True)
class EvaluationConfig:
    """The held-out cases that a run is evaluated on; `count` None means all of the split.

    `exchanged`: so many of them are asked again with the images of others, a blindness check: a
    model that looks must be paid less. `exchange_in_training`: at the evaluations within a run too.
    `neighbours`: how many labelled training cases at most `skinflow evaluate` looks at for the
    nearest-neighbour floor; 0: there is none.
    `samples`: ranked lists a diagnosis, sampled at `temperature` and merged by votes; 1 is the
    greedy list. Captions and questions are answered greedily.
    """

    split: Split = "heldout"
    count: Count | None = 300
    batch_size: Rows = 32
    tasks: Tasks = PAPERS
    exchanged: Annotated[int, Whole(0, 1_000_000)] = 100
    exchange_in_training: bool = False
    neighbours: Annotated[int, Whole(0, 1_000_000)] = 0
    samples: Annotated[int, Whole(1, 1_000)] = 1
    temperature: Annotated[float, Finite(LEAST_TEMPERATURE, MOST_TEMPERATURE)] = 1.0

    def __post_init__(self):
        check_fields(self, "evaluation.")
        if self.samples == 1 and self.temperature != 1:
            raise ConfigError(
                f"evaluation.temperature={self.temperature:g} is of sampled lists, and "
                "evaluation.samples=1 is greedy: raise samples, or leave temperature out"
            )


@dataclass(frozen=True)
class ClinicalConfig:
    """What is known of diseases: `ontology` is a CSV file of yours, or "+FILE" adds it to ours."""

    ontology: Annotated[str, Place()] | None = None

    def __post_init__(self):
        check_fields(self, "clinical.")


@dataclass(frozen=True)
class RunConfig:
    """One run of `skinflow train`. `batch_size` counts prompts over all devices."""

    algorithm: Annotated[str, OneOf(("sft", "grpo"))] = "sft"
    seed: Seed = 0
    batch_size: Rows = 16
    micro_batches: Rows = 1
    model: ModelChoice = field(default_factory=ModelChoice)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=100))
    rl: GrpoConfig = field(default_factory=GrpoConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    clinical: ClinicalConfig = field(default_factory=ClinicalConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)

    def __post_init__(self):
        check_fields(self)
        parts = {"micro_batches": self.micro_batches}
        if self.algorithm == "grpo":
            parts |= {"rl.mini_batches": self.rl.mini_batches}
        if self.batch_size % math.prod(parts.values()):
            divisors = " x ".join(f"{name}={value}" for name, value in parts.items())
            raise ConfigError(f"batch_size={self.batch_size} does not divide into {divisors}")
        if self.data.like_sizes % self.batch_size:
            raise ConfigError(
                f"data.like_sizes={self.data.like_sizes} must be a multiple of "
                f"batch_size={self.batch_size}, or 0"
            )
        _check_product(
            "optimizer steps", {"loop.steps": self.loop.steps, "updates a step": self.updates}
        )
        self.data.check_split(self.evaluation.split, "evaluation.split")
        _check_product(
            "tokens of an evaluated batch",
            {
                "evaluation.batch_size": self.evaluation.batch_size,
                "evaluation.samples": self.evaluation.samples,
                "data.completion_length": self.data.completion_length,
            },
        )
        if self.algorithm == "grpo":
            self._check_rl()

    @property
    def lists(self) -> Lists:
        """How the evaluation decodes diagnoses."""
        return Lists(self.evaluation.samples, self.evaluation.temperature, self.seed)

    @property
    def updates(self) -> int:
        """Optimizer steps a step of the loop."""
        return self.rl.updates if self.algorithm == "grpo" else 1

    def _check_rl(self):
        rl = self.rl
        parts = {"batch_size": self.batch_size, "rl.group_size": rl.group_size}
        _check_product("tokens of a rollout", parts | {"rl.max_tokens": rl.max_tokens})
        if rl.max_refills:
            _check_product("completions of a step", parts | {"rl.max_refills": rl.max_refills})
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


def _options(source: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if source != "procedural":
        return check_options(source, given, "data.options.")
    for name in given:
        if name not in OPTIONS:
            raise ConfigError(
                f"unknown config key data.options.{name}: the keys there are {', '.join(OPTIONS)}"
            )
    return {
        name: typed(OPTIONS[name], value, f"data.options.{name}") for name, value in given.items()
    }


def _check_product(what: str, factors: Mapping[str, int]) -> None:
    """Raise ConfigError where a count that int32 has to hold does not fit."""
    count = math.prod(factors.values())
    if count > INT32_MAX:
        named = " x ".join(f"{name}={value:,}" for name, value in factors.items())
        raise ConfigError(f"{named} makes {count:,} {what}: at most {INT32_MAX:,} can be counted")


def load_config(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """The config file at `path` (None: all defaults) with dotted overrides, checked.

    Raises ConfigError naming the file, key or value that is wrong.
    """
    return config_of({} if path is None else read_config(storage_path(path)), overrides)


def config_of(values: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """A config, checked, of nested values such as a checkpoint's facts hold; as `load_config`."""
    return from_dict(RunConfig, with_overrides(dict(values), overrides or {}))


def to_dict(config) -> dict:
    """The config as plain JSON values, as `config.json` holds it."""
    return dataclasses.asdict(config)
