"""Runs with adapters: both algorithms, resumed, continued by the next stage, exported."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.checkpoints.run_state import named_leaves
from skinflow_jax.config import DataConfig, ModelChoice, RunConfig
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.lora import merged
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.runs import train as runs_train
from skinflow_jax.runs.policies import export_hf
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shallow")]

LORA = LoraConfig(rank=2)
CONFIG = RunConfig(
    batch_size=4,
    model=ModelChoice(lora=LORA, dve=DveConfig(groups=8)),
    data=DataConfig(
        count=12,
        options={"image_size": 56},
        max_pixels=56 * 56,
        prompt_lengths=(64,),
        windows=(1,),
    ),
    optimizer=OptimizerConfig(learning_rate=1e-2),
    loop=LoopConfig(steps=4, checkpoint_every=2),
    rl=GrpoConfig(group_size=2, max_tokens=4, compactions=0, loss=PolicyLossConfig(kl_coef=0.1)),
)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_resumed_run_ends_as_one_that_never_stopped(run, tmp_path, monkeypatch):
    policy, _ = run
    learner = runs_train.SupervisedLearner
    plain = learner.step

    def dies(self, state, batches, step):
        if step == 3:
            raise KeyboardInterrupt
        return plain(self, state, batches, step)

    monkeypatch.setattr(learner, "step", dies)
    with pytest.raises(KeyboardInterrupt):
        runs_train.train(CONFIG, tmp_path / "again")
    monkeypatch.setattr(learner, "step", plain)
    resumed = runs_train.train(CONFIG, tmp_path / "again", resume=True)
    assert_same(resumed.model, policy.model)


def test_the_table_is_printed_at_the_start(tmp_path, capsys):
    config = dataclasses.replace(CONFIG, loop=LoopConfig(steps=1))
    runs_train.train(config, tmp_path / "run")
    printed = capsys.readouterr().out
    assert "adapters" in printed and "dynamic maps" in printed and "optimizer state" in printed


def test_the_next_stage_trains_the_adapters_on_and_its_kl_starts_at_zero(run, tmp_path):
    policy, folder = run
    # An untrained model earns nothing from the built-in rewards, and without any spread of
    # rewards only weight decay would move it.
    reward = tmp_path / "reward.py"
    reward.write_text(
        "def letters(completions, examples):\n"
        "    return [sum(map(ord, text)) % 7 / 7 for text in completions]\n"
    )
    config = dataclasses.replace(
        CONFIG,
        algorithm="grpo",
        rl=dataclasses.replace(CONFIG.rl, rewards=(f"{reward}:letters",)),
        model=ModelChoice(init_from=str(folder)),
        loop=LoopConfig(steps=2, log_every=1),
    )
    found = runs_train.train(config, tmp_path / "next").model
    before, after = named_leaves(policy.model), named_leaves(found)
    moved = {n for n in before if not np.array_equal(before[n], after[n])}
    trained = {n for n in before if "lora_" in n or n.startswith("vision/dynamic/mlp")}
    assert moved and moved <= trained
    lines = (tmp_path / "next" / "metrics.jsonl").read_text().splitlines()
    kl = [json.loads(line)["kl"] for line in lines]
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert kl[1] > 1e-6


def test_the_run_is_exported_as_a_plain_model(run, tmp_path):
    policy, folder = run
    export_hf(folder, tmp_path / "out")
    found, expected = load_pretrained(tmp_path / "out"), merged(policy.model)
    parameters = named_leaves(found)
    assert set(parameters) == set(named_leaves(expected))
    for name, array in named_leaves(expected).items():
        np.testing.assert_allclose(parameters[name], array, rtol=1e-6, atol=1e-6)
