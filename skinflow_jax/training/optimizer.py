"""The optimizer with clipping and a schedule, all of optax's parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import jax
import optax
from flax import nnx

from skinflow_jax.errors import ConfigError
from skinflow_jax.training.multipliers import multiplied
from skinflow_jax.typed_fields import Finite, OneOf, Text, Whole, check_fields

SCHEDULES = ("constant", "cosine")
OPTIMIZERS = ("adamw", "adafactor")
MOMENT_TYPES = ("float32", "bfloat16")
ADAFACTOR_CLIP = 1.0  # root mean square of one parameter's update, d of the paper


@dataclass(frozen=True)
class OptimizerConfig:
    """`warmup_steps` of linear warm-up, then `schedule` over the rest of the run.

    `name`: `adamw` keeps two moments per parameter; `adafactor` (Shazeer and Stern 2018; no first
    moment, steps not scaled by the parameter) keeps the second moment as sums over the rows and
    columns of a matrix, next to nothing. `mu_dtype`: of AdamW's first moment; bfloat16 saves two
    bytes a parameter. `b1`, `b2` and `mu_dtype` are AdamW's alone. `multipliers`: of the learning
    rate, by group of parameters (see `models.trainable.in_group`), as {"gates": 30.0}.
    """

    name: Annotated[str, OneOf(OPTIMIZERS)] = "adamw"
    learning_rate: Annotated[float, Finite(above=0)] = 1e-6
    schedule: Annotated[str, OneOf(SCHEDULES)] = "constant"
    warmup_steps: Annotated[int, Whole(0)] = 0
    b1: Annotated[float, Finite(0, below=1)] = 0.9
    b2: Annotated[float, Finite(0, below=1)] = 0.999
    weight_decay: Annotated[float, Finite(0, 1e4)] = 0.01
    clip_norm: Annotated[float, Finite(above=0)] = 1.0
    mu_dtype: Annotated[str, OneOf(MOMENT_TYPES)] = "float32"
    # Equal configs still have equal hashes; a dict has none.
    multipliers: Mapping[Annotated[str, Text()], Annotated[float, Finite(above=0, most=1e6)]] = (
        field(default_factory=dict, hash=False)
    )

    def __post_init__(self):
        check_fields(self, "optimizer.")
        if self.name == "adafactor" and self.mu_dtype != "float32":
            raise ConfigError(
                f"optimizer.mu_dtype={self.mu_dtype} is of the first moment, which "
                "optimizer.name=adafactor does not keep: leave it out"
            )


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Learning rate by optimizer step, for a run of `steps`."""
    peak, warmup = config.learning_rate, config.warmup_steps
    rest = (
        optax.constant_schedule(peak)
        if config.schedule == "constant"
        else optax.cosine_decay_schedule(peak, max(1, steps - warmup), alpha=0.1)
    )
    if not warmup:
        return rest
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), rest], [warmup])


def applied_updates(opt_state: optax.OptState) -> int:
    """Optimizer steps taken so far, by the count that the schedule reads."""
    scheduled = optax.tree_utils.tree_get_all_with_path(
        opt_state, "count", filtering=lambda path, _: path[-1].tuple_name == "ScaleByScheduleState"
    )
    return max((int(count) for _, count in scheduled), default=0)


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Clipping by global norm, then the optimizer; norms' scales and biases are not decayed.

    Its `init` raises ConfigError where a group of `config.multipliers` has no parameter.
    """
    if config.name == "adafactor":
        moments = _of_arrays(optax.scale_by_factored_rms())
        scaled = [moments, optax.clip_by_block_rms(ADAFACTOR_CLIP)]
    else:
        scaled = [optax.scale_by_adam(b1=config.b1, b2=config.b2, mu_dtype=config.mu_dtype)]
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        # Nested as in `optax.adamw`: the names in older checkpoints say so.
        optax.chain(
            *scaled,
            optax.add_decayed_weights(config.weight_decay, _decayed),
            optax.scale_by_learning_rate(learning_rate_schedule(config, steps)),
        ),
    )
    return multiplied(optimizer, config.multipliers)


def _of_arrays(transform: optax.GradientTransformation) -> optax.GradientTransformation:
    """`transform` on bare arrays: row and column sums must not pass for parameters, whose logical
    axes they do not have. They are replicated."""

    def bare(tree):
        return jax.tree.map(
            lambda leaf: leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf,
            tree,
            is_leaf=lambda leaf: isinstance(leaf, nnx.Variable),
        )

    def update(updates, state, params=None):
        found, state = transform.update(bare(updates), state, bare(params))
        return jax.tree.unflatten(jax.tree.structure(updates), jax.tree.leaves(found)), state

    return optax.GradientTransformation(lambda params: transform.init(bare(params)), update)


_MATRICES = {"kernel", "embedding", "head", "spectrum", "lora_a", "lora_b"}


def _decayed(params):
    """True at weight matrices: leaves called `kernel`, `embedding`, `head`, `spectrum`, `lora_…`.

    Decay draws an adapted weight to the pretrained one, the weight that a spectrum stands for to
    0, and the gates of DVE to 1.
    """

    def is_matrix(path, _):
        names = {getattr(entry, "name", None) for entry in path}
        return bool(names & _MATRICES)

    return jax.tree_util.tree_map_with_path(is_matrix, params)
