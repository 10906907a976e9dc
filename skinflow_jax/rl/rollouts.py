"""Scored rollouts, and dynamic sampling: uninformative groups are replaced by others."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from skinflow_jax.data.pipeline import Example
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.parallel import anywhere, local_rows, place_batch
from skinflow_jax.rl.sampler import Rollout
from skinflow_jax.rl.update import GroupScores


@dataclass(frozen=True)
class ScoredRollout:
    """A batch of prompts, their completions and rewards. Host arrays hold this process's prompts.

    `inputs` and `rollout` are on the devices; `texts` is `[P][G]`; `rewards` is `[P, G, R]` with
    NaN for "not scored".
    """

    examples: list[Example]
    inputs: ModelInputs
    rollout: Rollout
    texts: list[list[str]]
    rewards: np.ndarray


def with_refills(
    first: ScoredRollout,
    draw: Callable[[int], ScoredRollout],
    group_scores: Callable[[ScoredRollout], GroupScores],
    most: int,
    collate: Callable[[list[Example]], ModelInputs],
    mesh=None,
) -> tuple[ScoredRollout, dict[str, float]]:
    """`first` with its uninformative groups replaced by those of up to `most` further draws.

    Args:
      first: as many groups as an update takes.
      draw: gives the rollout of refill number 1, 2, ….
      group_scores: advantages and which groups are informative.
      most: the most draws. Places still free after them keep uninformative groups.
      collate: examples to inputs, as the pipeline makes them.
      mesh: where the result goes.

    Returns the rollout and `dynamic_sampling/…`: `refills` drawn, and of all that was sampled the
    share of `informative` groups and the mean `reward` (the update sees others).
    """
    rounds, scores = [first], [group_scores(first)]
    masks, wanted = [local_rows(scores[0].informative)], len(first.examples)
    # Collective: all processes draw, or none.
    while len(rounds) <= most and anywhere(sum(map(np.sum, masks)) < wanted):
        rounds.append(draw(len(rounds)))
        scores.append(group_scores(rounds[-1]))
        masks.append(local_rows(scores[-1].informative))

    def mean(name):
        return float(np.mean([float(s.metrics[name]) for s in scores]))

    metrics = {
        "dynamic_sampling/refills": len(rounds) - 1,
        "dynamic_sampling/informative": mean("dynamic_sampling/informative"),
        "dynamic_sampling/reward": mean("reward"),
    }
    if len(rounds) == 1:
        return first, metrics
    picks = [(r, p) for r, mask in enumerate(masks) for p in np.flatnonzero(mask)]
    picks += [(r, p) for r, mask in enumerate(masks) for p in np.flatnonzero(~mask)]
    return _gathered(rounds, picks[:wanted], collate, mesh), metrics


def _gathered(rounds: list[ScoredRollout], picks, collate, mesh) -> ScoredRollout:
    examples = [rounds[r].examples[p] for r, p in picks]
    rows = [jax.tree.map(local_rows, r.rollout) for r in rounds]
    picked = [jax.tree.map(lambda x, p=p: x[p], rows[r]) for r, p in picks]
    rollout = jax.tree.map(lambda *xs: np.stack(xs), *picked)

    # Sharded as the sampler's outputs are, so that the update is the same program.
    def placed(like, x):
        return jax.make_array_from_process_local_data(like.sharding, x)

    return ScoredRollout(
        examples=examples,
        inputs=place_batch(collate(examples), mesh),
        rollout=jax.tree.map(placed, rounds[0].rollout, rollout),
        texts=[rounds[r].texts[p] for r, p in picks],
        rewards=np.stack([rounds[r].rewards[p] for r, p in picks]),
    )
