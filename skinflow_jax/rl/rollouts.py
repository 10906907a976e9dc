"""Scored rollouts, and dynamic sampling: uninformative groups are replaced by others."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from skinflow_jax.data.pipeline import Example
from skinflow_jax.models.inputs import ModelInputs
from skinflow_jax.parallel import local_rows, place_batch, process_part
from skinflow_jax.parallel.agreement import all_rows, gather
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
    masks = [all_rows(scores[0].informative)]
    wanted = len(masks[0])
    # Collective: the masks are those of all processes, which all draw, or none does.
    while len(rounds) <= most and sum(map(np.sum, masks)) < wanted:
        rounds.append(draw(len(rounds)))
        scores.append(group_scores(rounds[-1]))
        masks.append(all_rows(scores[-1].informative))

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


@dataclass(frozen=True)
class _Group:
    """A prompt's part of a scored rollout, on the host."""

    example: Example
    rollout: Rollout
    texts: list[str]
    rewards: np.ndarray


def _gathered(rounds: list[ScoredRollout], picks, collate, mesh) -> ScoredRollout:
    """The groups that `picks` names by round and row, which may be another process's."""
    part, parts = process_part(mesh)
    count = len(rounds[0].examples)
    rows = [jax.tree.map(local_rows, r.rollout) for r in rounds]

    def group(r: int, p: int) -> _Group:
        rollout = jax.tree.map(lambda x: x[p], rows[r])
        own = rounds[r]
        return _Group(own.examples[p], rollout, own.texts[p], own.rewards[p])

    here = {
        place: group(r, p - part * count)
        for place, (r, p) in enumerate(picks)
        if p // count == part
    }
    wanted = range(part * count, (part + 1) * count)
    if parts > 1:
        for sent in gather({place: g for place, g in here.items() if place not in wanted}):
            here |= sent
    groups = [here[place] for place in wanted]
    rollout = jax.tree.map(lambda *xs: np.stack(xs), *(g.rollout for g in groups))
    examples = [g.example for g in groups]

    # Sharded as the sampler's outputs are, so that the update is the same program.
    def placed(like, x):
        return jax.make_array_from_process_local_data(like.sharding, x)

    return ScoredRollout(
        examples=examples,
        inputs=place_batch(collate(examples), mesh),
        rollout=jax.tree.map(placed, rounds[0].rollout, rollout),
        texts=[g.texts for g in groups],
        rewards=np.stack([g.rewards for g in groups]),
    )
