"""AdamW with clipping and a schedule, all by optax."""

from dataclasses import dataclass

import jax
import optax

from skinflow_jax.errors import ConfigError

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW; `warmup_steps` of linear warm-up, then `schedule` over the rest of the run."""

    learning_rate: float = 1e-6
    schedule: str = "constant"
    warmup_steps: int = 0
    b1: float = 0.9
    b2: float = 0.999
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    def __post_init__(self):
        if self.schedule not in SCHEDULES:
            raise ConfigError(
                f"optimizer.schedule={self.schedule!r} is unknown: choose {' or '.join(SCHEDULES)}"
            )
        if self.learning_rate <= 0 or self.clip_norm <= 0:
            raise ConfigError(
                f"optimizer.learning_rate={self.learning_rate} and "
                f"optimizer.clip_norm={self.clip_norm} must be positive"
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


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Clipping by global norm, then AdamW; norms' scales and biases are not decayed."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            learning_rate_schedule(config, steps),
            b1=config.b1,
            b2=config.b2,
            weight_decay=config.weight_decay,
            mask=_decayed,
        ),
    )


def _decayed(params):
    """True at weight matrices: leaves called `kernel`, `embedding`, `head` or `spectrum`.

    Decay draws the weight that a spectrum stands for to 0, and the gates of DVE to 1.
    """

    def is_matrix(path, _):
        names = {getattr(entry, "name", None) for entry in path}
        return bool(names & {"kernel", "embedding", "head", "spectrum"})

    return jax.tree_util.tree_map_with_path(is_matrix, params)
