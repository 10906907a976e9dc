"""A small run whose learner compiles nothing, for tests of all that is around the learner."""

import dataclasses
from typing import ClassVar

import jax
import numpy as np
from random_model import SHALLOW

from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.models.config import SIZES
from skinflow_jax.runs import train as runs_train
from skinflow_jax.training.loop import LoopConfig, StepResult

SMALL_RUN = RunConfig(
    batch_size=4,
    data=DataConfig(
        count=12,
        options={"image_size": 56},
        max_pixels=56 * 56,
        prompt_lengths=(64,),
        windows=(1,),
        completion_length=64,
    ),
    loop=LoopConfig(steps=2, checkpoint_every=1),
    evaluation=EvaluationConfig(count=4, batch_size=4),
)


class StandIn:
    """Takes a batch and counts the step; `references` are those that its likes were given."""

    references: ClassVar[list] = []

    def __init__(self, *_, reference=None, **__):
        self.references.append(jax.tree.map(np.asarray, reference))

    def check_examples(self, examples):
        pass

    def warm_up(self, state, shapes):
        return {}

    def step(self, state, batches, step):
        next(batches)
        state = dataclasses.replace(state, step=state.step + 1)
        return StepResult(state, {"loss": 0.0}, inputs=None, evidence=None)


def stand_ins(patch, learner=StandIn):
    """Let `train` build a small model, and `learner` for either algorithm, while `patch` holds."""
    patch.setitem(SIZES, "tiny", SHALLOW)
    patch.setattr(runs_train, "SupervisedLearner", learner)
    patch.setattr(runs_train, "GrpoLearner", learner)
