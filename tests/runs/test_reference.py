"""A KL is measured to the model that the run started from, also after a resume."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stand_in import SMALL_RUN, StandIn, stand_ins

from skinflow_jax.checkpoints.run_state import RunCheckpoints, load_model, read_facts
from skinflow_jax.config import ModelChoice
from skinflow_jax.errors import InputError
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.runs import train as runs_train
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.state import TrainState

SFT = dataclasses.replace(SMALL_RUN, loop=LoopConfig(steps=1))


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """(config of a stage that has taken a step, its workdir, the workdir it started from)"""
    stand_ins(monkeypatch)
    start = tmp_path / "start"
    runs_train.train(SFT, start)
    config = dataclasses.replace(
        SFT,
        algorithm="grpo",
        model=ModelChoice(init_from=str(start)),
        rl=GrpoConfig(max_tokens=8, loss=PolicyLossConfig(kl_coef=0.1)),
    )
    StandIn.references.clear()
    runs_train.train(config, tmp_path / "stage")
    return config, tmp_path / "stage", start


def longer(config):
    return dataclasses.replace(config, loop=LoopConfig(steps=2))


def train_on(folder, step, scale):
    """What the predecessor becomes: a checkpoint of `step` with other weights."""
    model = jax.tree.map(lambda x: jnp.asarray(x) * scale, load_model(folder / "checkpoints"))
    facts = read_facts(folder / "checkpoints")
    if step == 1:
        shutil.rmtree(folder / "checkpoints" / "1")
    with RunCheckpoints(folder / "checkpoints", keep=5) as checkpoints:
        checkpoints.save(step, TrainState(jnp.int32(step), model, ()), facts=facts)


def test_the_reference_stays_though_the_run_it_came_from_goes_on(stage):
    config, workdir, start = stage
    train_on(start, 2, 1.5)
    runs_train.train(longer(config), workdir, resume=True)
    first, second = map(jax.tree.leaves, StandIn.references)
    assert first and len(first) == len(second)
    for found, expected in zip(second, first, strict=True):
        np.testing.assert_array_equal(found, expected)
    origin = read_facts(workdir / "checkpoints")["origin"]
    assert origin["folder"] == str(start) and origin["step"] == 1


def test_another_model_under_the_same_step_is_refused_or_allowed_by_name(stage):
    config, workdir, start = stage
    train_on(start, 1, 1.5)
    with pytest.raises(InputError, match=r"start, step 1: not the model that .*stage started"):
        runs_train.train(longer(config), workdir, resume=True)
    runs_train.train(longer(config), workdir, resume=True, allow_changed=["model.init_from"])


def test_a_model_that_is_gone_is_named_with_a_way_out(stage):
    config, workdir, start = stage
    shutil.rmtree(start)
    with pytest.raises(InputError, match=r"started from .*start, step 1, .*--allow-changed=model"):
        runs_train.train(longer(config), workdir, resume=True)
    # A run that measures no KL needs the model no more.
    free = dataclasses.replace(config, rl=GrpoConfig(max_tokens=8))
    runs_train.train(longer(free), workdir, resume=True)
