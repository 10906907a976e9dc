"""A step that breaks can be seen again from what the run left."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_model import SHALLOW, spread_model

from skinflow_jax.checkpoints.failure import keep_failure, read_evidence
from skinflow_jax.checkpoints.run_state import RunCheckpoints
from skinflow_jax.config import DataConfig, RunConfig
from skinflow_jax.errors import RunError
from skinflow_jax.models.inputs import empty_inputs
from skinflow_jax.models.vlm import abstract_model
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.rewards import REWARDS
from skinflow_jax.rl.sampler import Rollout
from skinflow_jax.rl.update import PolicyBatch, policy_update
from skinflow_jax.runs import train as runs_train
from skinflow_jax.runs.workdir import TOKENIZER
from skinflow_jax.tokenizers import load_tokenizer
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer
from skinflow_jax.training.state import abstract_state, create_state

pytestmark = pytest.mark.slow

SGD = optax.sgd(0.1)

CONFIG = RunConfig(
    algorithm="grpo",
    batch_size=2,
    data=DataConfig(
        count=8,
        options={"image_size": 56},
        max_pixels=56 * 56,
        prompt_lengths=(64,),
        windows=(1,),
        completion_length=8,
    ),
    # After a step of this size nothing is finite any more.
    optimizer=OptimizerConfig(learning_rate=1e30),
    loop=LoopConfig(steps=5, checkpoint_every=1),
    rl=GrpoConfig(group_size=2, max_tokens=4, compactions=0),
)


@pytest.fixture(scope="module")
def failed(shallow, tmp_path_factory):
    """(workdir, the error)"""
    workdir = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(REWARDS, "caption", lambda texts, _: [len(t) % 7 / 7 for t in texts])
        with pytest.raises(RunError) as error:
            runs_train.train(CONFIG, workdir)
    return workdir, str(error.value)


def test_the_error_names_step_figure_and_folder(failed):
    workdir, message = failed
    assert message.startswith("step 2: ") and " is nan" in message and "\n" not in message
    assert str(workdir / "failure") in message
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1]


def test_the_step_breaks_again_from_the_saved_state_and_batch(failed):
    workdir, _ = failed
    optimizer = make_optimizer(CONFIG.optimizer, CONFIG.loop.steps)
    tokenizer = load_tokenizer(workdir / TOKENIZER)
    sizes = SHALLOW.with_tokenizer(tokenizer)
    layout = abstract_state(abstract_model(sizes), optimizer)
    states = []
    for folder in (workdir / "failure" / "checkpoints", workdir / "checkpoints"):
        with RunCheckpoints(folder) as checkpoints:
            states.append(checkpoints.restore(layout)[0])
    # The broken update was not applied: what is saved is what the step before it had left.
    for found, expected in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert int(states[0].step) == 1

    place = PolicyBatch(
        empty_inputs(1, sizes, length=1, windows=1, images=1), Rollout(0, 0, 0, 0), 0
    )
    batch = read_evidence(workdir / "failure", place)
    assert batch.rollout.tokens.shape == (2, 2, 4)
    state, metrics = policy_update(
        states[0],
        batch,
        optimizer=optimizer,
        config=CONFIG.rl,
        compute=CONFIG.model.compute,
        micro_batches=1,
    )
    assert not np.isfinite(metrics["loss"]) or not np.isfinite(metrics["grad_norm"])
    for found, expected in zip(*map(jax.tree.leaves, (state.model, states[1].model)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_later_failure_takes_the_place_of_an_earlier_one(tmp_path):
    """Also where it is of the same step, or of an earlier one: state and batch belong together."""
    state = create_state(spread_model(SHALLOW), SGD)
    for step, number in ((5, 1.0), (5, 2.0), (3, 4.0)):
        moved = jax.tree.map(lambda x, n=number: jnp.full_like(x, n), state.model)
        broken = dataclasses.replace(state, model=moved)
        keep_failure(tmp_path / "failure", step, broken, {"a": jnp.full(2, number)})
        with RunCheckpoints(tmp_path / "failure" / "checkpoints") as checkpoints:
            found, _, _ = checkpoints.restore(abstract_state(state.model, SGD))
        assert int(found.step) == step
        assert {float(x.min()) for x in jax.tree.leaves(found.model)} == {number}
        np.testing.assert_array_equal(
            read_evidence(tmp_path / "failure", {"a": 0})["a"], [number] * 2
        )
