"""Scored rollouts, and dynamic sampling: groups that teach nothing make room for others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from skinflow_jax.data.pipeline import Example
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.parallel import local_rows, place_batch
from skinflow_jax.rl.sampler import Rollout


@dataclass(frozen=True)
class ScoredRollout:
    """A batch of prompts and its completions, judged. Host arrays hold this process's prompts.

    `inputs` and `rollout` are on the devices; `texts` is `[P][G]`; `rewards` is `[P, G, R]` with
    NaN for "not scored".
    """

    examples: list[Example]
    inputs: ModelInputs
    rollout: Rollout
    texts: list[list[str]]
    rewards: np.ndarray


def informative(rewards: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """bool `[P]`: groups in which at least two scored completions differ in some function.

    A function of weight 0 does not count.
    """
    counted = rewards[..., np.asarray(weights) != 0]
    seen = ~np.isnan(counted)
    high = np.where(seen, counted, -np.inf).max(axis=1)
    low = np.where(seen, counted, np.inf).min(axis=1)
    return (high > low).any(axis=-1)


def with_refills(
    first: ScoredRollout,
    draw: Callable[[int], ScoredRollout],
    weights: Sequence[float],
    most: int,
    collate: Callable[[list[Example]], ModelInputs],
    mesh=None,
) -> tuple[ScoredRollout, dict[str, float]]:
    """`first` with its uninformative groups replaced by those of up to `most` further draws.

    Args:
      first: as many groups as an update takes.
      draw: gives the rollout of refill number 1, 2, ….
      weights: of the reward functions.
      most: draws at most. Places that are free after them keep groups of equal rewards.
      collate: examples to inputs, as the pipeline makes them.
      mesh: where the result goes.

    Returns the rollout and `dynamic_sampling/…`: `refills` drawn, the share of sampled groups that
    was `informative`, the mean `reward` of all that was sampled (the update sees another one), and
    the informative groups left over as `surplus`.
    """
    useful = informative(first.rewards, weights)
    rounds, masks, wanted = [first], [useful], len(useful)
    while len(rounds) <= most and _anywhere(sum(map(np.sum, masks)) < wanted):
        rounds.append(draw(len(rounds)))
        masks.append(informative(rounds[-1].rewards, weights))
    found = int(sum(map(np.sum, masks)))
    totals = np.concatenate([np.nansum(r.rewards * np.asarray(weights), axis=-1) for r in rounds])
    metrics = {
        "dynamic_sampling/refills": len(rounds) - 1,
        "dynamic_sampling/informative": found / (wanted * len(rounds)),
        "dynamic_sampling/reward": float(totals.mean()),
        "dynamic_sampling/surplus": max(0, found - wanted),
    }
    if len(rounds) == 1:
        return first, metrics
    places = [(r, p) for r, mask in enumerate(masks) for p in np.flatnonzero(mask)]
    places += [(r, p) for r, mask in enumerate(masks) for p in np.flatnonzero(~mask)]
    return _gathered(rounds, places[:wanted], collate, mesh), metrics


def _anywhere(missing: bool) -> bool:
    """Whether any process still misses groups: all of them must draw, or none."""
    if jax.process_count() == 1:
        return bool(missing)
    return bool(multihost_utils.process_allgather(np.array([missing])).any())


def _gathered(rounds: list[ScoredRollout], places, collate, mesh) -> ScoredRollout:
    examples = [rounds[r].examples[p] for r, p in places]
    rows = [jax.tree.map(local_rows, r.rollout) for r in rounds]
    picked = [jax.tree.map(lambda x, p=p: x[p], rows[r]) for r, p in places]
    return ScoredRollout(
        examples=examples,
        inputs=place_batch(collate(examples), mesh),
        rollout=place_batch(jax.tree.map(lambda *xs: np.stack(xs), *picked), mesh),
        texts=[rounds[r].texts[p] for r, p in places],
        rewards=np.stack([rounds[r].rewards[p] for r, p in places]),
    )
