"""What a resumed run may change of its config: one rule for every field.

A field that is not in the table is refused, and a test fails: who adds a field decides.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from skinflow_jax.config import RunConfig, to_dict
from skinflow_jax.errors import ConfigError

FREE = "free"
TOLD = "told"
FIXED = "fixed"

# Dotted names. FREE changes nothing that is learned, TOLD holds from the resumed step on and is
# said, FIXED would make it another run: refused, unless --allow-changed=FIELD.
RULES: Mapping[str, str] = {
    "algorithm": FIXED,
    "seed": FIXED,
    "batch_size": TOLD,
    "micro_batches": TOLD,  # the same sums in another order
    "model.size": FIXED,
    "model.init_from": FIXED,
    "model.dtype": TOLD,
    "model.remat": FREE,
    "model.dve": FIXED,
    "model.extra_width": FIXED,
    "model.lora": FIXED,
    "model.trainable": FIXED,
    "data.source": FIXED,
    "data.data_root": TOLD,  # the digest of the data says whether it is the same
    "data.more": FIXED,
    "data.fractions": FIXED,
    "data.split_by": TOLD,
    "data.previous": TOLD,
    "data.max_skipped": FREE,
    "data.caption_schema": FIXED,
    "data.captions": TOLD,
    "data.split": FIXED,
    "data.count": FIXED,
    "data.seed": FIXED,
    "data.options": FIXED,
    "data.tasks": FIXED,
    "data.cases_of_task": FIXED,
    "data.balance": FIXED,
    "data.like_sizes": FIXED,
    "data.augmentation": TOLD,
    "data.min_pixels": FIXED,
    "data.max_pixels": FIXED,
    # What fits, and so which cases there are and in which order.
    "data.prompt_lengths": FIXED,
    "data.windows": FIXED,
    "data.completion_length": FIXED,
    "optimizer.name": FIXED,
    "optimizer.learning_rate": TOLD,
    "optimizer.schedule": TOLD,
    "optimizer.warmup_steps": TOLD,
    "optimizer.b1": TOLD,
    "optimizer.b2": TOLD,
    "optimizer.weight_decay": TOLD,
    "optimizer.clip_norm": TOLD,
    "optimizer.mu_dtype": FIXED,
    "optimizer.multipliers": TOLD,
    "loop.steps": FREE,  # told where a schedule depends on it
    "loop.log_every": FREE,
    "loop.rollouts_every": FREE,
    "loop.rollout_groups": FREE,
    "loop.checkpoint_every": FREE,
    "loop.evaluate_every": FREE,
    "loop.keep_latest": FREE,
    "loop.keep_every": FREE,
    "loop.keep_best": FREE,
    "loop.best_metric": FREE,
    "loop.best_is_max": FREE,
    "rl.group_size": TOLD,
    "rl.max_tokens": TOLD,
    "rl.temperature": TOLD,
    "rl.top_k": TOLD,
    "rl.top_p": TOLD,
    "rl.min_tokens": TOLD,
    "rl.stop_ids": TOLD,
    "rl.compactions": FREE,
    "rl.rewards": FIXED,
    "rl.reward_weights": FIXED,
    "rl.sibling_credit": FIXED,
    "rl.safety_penalty": FIXED,
    "rl.reward_timeout": FREE,
    "rl.overlong_cache": FIXED,
    "rl.advantages": FIXED,
    "rl.num_iterations": TOLD,
    "rl.mini_batches": TOLD,
    "rl.mask_truncated": TOLD,
    "rl.max_refills": TOLD,
    "rl.loss.loss_type": FIXED,
    "rl.loss.clip_low": TOLD,
    "rl.loss.clip_high": TOLD,
    "rl.loss.cispo_cap": TOLD,
    "rl.loss.dual_clip": TOLD,
    "rl.loss.delta": TOLD,
    "rl.loss.sapo_tau_pos": TOLD,
    "rl.loss.sapo_tau_neg": TOLD,
    "rl.loss.kl_coef": TOLD,
    "rl.loss.kl_estimator": TOLD,
    "rl.loss.sampler_cap": TOLD,
    "rl.loss.sampler_level": TOLD,
    "rl.loss.max_completion_length": TOLD,
    "rl.log_kl": FREE,
    "evaluation.split": FREE,
    "evaluation.count": FREE,
    "evaluation.batch_size": FREE,
    "evaluation.tasks": FREE,
    "evaluation.exchanged": FREE,
    "evaluation.exchange_in_training": FREE,
    "evaluation.neighbours": FREE,
    "evaluation.samples": FREE,
    "evaluation.temperature": FREE,
    "clinical.ontology": TOLD,  # whether it says the same is told by its digest
    "mesh.slice": FREE,
    "mesh.data": FREE,
    "mesh.fsdp": FREE,
    "mesh.tensor": FREE,
}

# The arrays of a checkpoint are made so, and not even `--allow-changed` makes them others.
IN_ARRAYS = (
    *("model.size", "model.dve", "model.extra_width", "model.lora", "model.trainable"),
    "optimizer.name",
)

# Groups that are there as a whole or not at all, or have keys of their own.
_WHOLE = (
    *("model.dve", "model.lora", "data.options", "data.fractions", "data.cases_of_task"),
    "optimizer.multipliers",
)


@dataclass(frozen=True)
class Change:
    """A field whose value is another one than when the run was made."""

    name: str
    before: Any
    now: Any
    rule: str

    def __str__(self) -> str:
        return f"{self.name} {self.before!r} -> {self.now!r}"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """The fields in which two configs, as JSON holds them, differ.

    A field that there was not yet when the run was made had what is its default now.
    """
    old, new = {**flat(to_dict(RunConfig())), **flat(before)}, flat(now)
    return [
        Change(name, old.get(name), new.get(name), _rule(name, new))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _rule(name: str, config: Mapping[str, Any]) -> str:
    if name == "loop.steps" and config.get("optimizer.schedule") != "constant":
        return TOLD
    return RULES.get(name, FIXED)


def check_changes(found: list[Change], allowed: Collection[str], workdir) -> list[Change]:
    """The changes that have to be told; raises ConfigError naming those that are refused.

    `allowed`: names of fields, or of groups of them, that may change all the same, but for those of
    `IN_ARRAYS`. One that is no field is refused: it is misspelt.
    """
    for name in allowed:
        if name not in RULES and not any(rule.startswith(f"{name}.") for rule in RULES):
            raise ConfigError(f"--allow-changed={name}: there is no such field of the config")
    fixed = [change for change in found if change.rule == FIXED]
    refused = [c for c in fixed if c.name in IN_ARRAYS or not is_allowed(c.name, allowed)]
    if refused:
        listed = "; ".join(f"{c.name} was {c.before!r}, the config says {c.now!r}" for c in refused)
        raise ConfigError(
            f"{workdir} was made with another config: {listed}. Resume with what it was made "
            f"with, or {_way_out(refused, workdir)}"
        )
    return [change for change in found if change.rule != FREE]


def _way_out(refused: list[Change], workdir) -> str:
    if any(change.name in IN_ARRAYS for change in refused):
        return f"start another workdir from its weights by --config.model.init_from={workdir}"
    flags = " ".join(f"--allow-changed={change.name}" for change in refused)
    return f"choose another workdir; to change it all the same add {flags}"


def is_allowed(name: str, allowed: Collection[str]) -> bool:
    """Whether the field `name`, or a group that it is in, is among `allowed`."""
    return any(name == other or name.startswith(f"{other}.") for other in allowed)


def flat(config: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Values by dotted name; tuples are lists, as JSON has them."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{where}{key}"
        if isinstance(value, Mapping) and name not in _WHOLE:
            found |= flat(value, f"{name}.")
        else:
            found[name] = plain(value)
    return found


def plain(value: Any) -> Any:
    """`value` as JSON gives it back: tuples as lists, infinities as text."""
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value
