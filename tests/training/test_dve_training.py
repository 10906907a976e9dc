"""A run with a dynamic vision encoder: made dynamic once, watched, kept by the stages after it."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, random_inputs, spread_model

from skinflow_jax.config import DataConfig, ModelChoice, RunConfig
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import DveConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.vlm import DEFAULT_COMPUTE
from skinflow_jax.runs import train as runs_train
from skinflow_jax.runs.policies import converted, starting_policy
from skinflow_jax.training.gate_figures import gate_findings
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig

DVE = DveConfig(groups=8)
CONFIG = RunConfig(
    batch_size=4,
    model=ModelChoice(dve=DVE),
    data=DataConfig(
        count=12,
        options={"image_size": 56},
        max_pixels=56 * 56,
        prompt_lengths=(64,),
        windows=(1,),
    ),
    optimizer=OptimizerConfig(learning_rate=1e-2),
    loop=LoopConfig(steps=2, log_every=1, rollouts_every=2),
)


def from_run(folder, dve):
    return dataclasses.replace(CONFIG, model=ModelChoice(init_from=str(folder), dve=dve))


@pytest.mark.slow
def test_the_run_says_what_is_dynamic_and_writes_down_every_gate(run, tmp_path, capsys):
    _, folder = run
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert not [name for name in steps[0] if name.startswith("dve/")]
    gates = {name: value for name, value in steps[1].items() if name.startswith("dve/")}
    assert len(gates) == 2 * 3 * 3  # mean and spread, gate, up and down, three gates each
    assert all(np.isfinite(list(gates.values())))
    assert any(value != 1 for name, value in gates.items() if name.endswith("/mean"))
    runs_train.train(from_run(folder, None), tmp_path / "next")
    printed = capsys.readouterr().out
    assert "dynamic vision encoder: gate, up, down of blocks 1 in 8 frequency groups" in printed


def started_from(config):
    return converted(starting_policy(config, None), config)


@pytest.mark.slow
def test_the_next_stage_keeps_the_encoder_and_refuses_another(run, tmp_path):
    policy, folder = run
    for dve in (None, DVE):
        started = started_from(from_run(folder, dve))
        assert started.model.config == policy.model.config
        for a, b in zip(jax.tree.leaves(started.model), jax.tree.leaves(policy.model), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ConfigError, match=r"model.dve=.*groups=4.*already.*groups=8"):
        started_from(from_run(folder, DveConfig(groups=4)))


@pytest.mark.slow
@pytest.mark.parametrize("dve", [None, DveConfig(groups=8, temperature=2.0)])
def test_a_run_is_not_resumed_with_another_encoder(run, dve):
    _, folder = run
    config = dataclasses.replace(CONFIG, model=ModelChoice(dve=dve))
    with pytest.raises(ConfigError, match=r"model\.dve was \{.*'groups': 8.*, the config says "):
        runs_train.train(config, folder, resume=True)


@pytest.mark.slow
def test_figures_count_images_alone_and_show_a_spread_once_gates_listen():
    model = with_dve(spread_model(SHALLOW), DVE)
    inputs = random_inputs([[(6, 10)], [(4, 4)], []], SHALLOW, length=32, windows=4, images=1)
    found = gate_findings(model, inputs, DEFAULT_COMPUTE)
    figures = found.figures
    assert {name.rsplit("/", 1)[1]: value for name, value in figures.items()} == {
        "mean": 1.0,
        "spread": 0.0,
    }
    down = model.vision.dynamic.mlp.down
    kernel = down.group_gate.kernel
    kernel.set_value(jnp.ones_like(kernel[...]))
    found_later = gate_findings(model, inputs, DEFAULT_COMPUTE)
    listening = found_later.figures
    changed = {name for name in figures if listening[name] != figures[name]}
    assert changed == {"dve/block1/down_group/mean", "dve/block1/down_group/spread"}
    rows = [jnp.asarray(x[:2].reshape(-1, *x.shape[2:])) for x in tower_inputs(inputs)]
    gate = np.asarray(model.vision.gates(*rows)[1]["down"]["group"])  # the two with an image
    np.testing.assert_allclose(listening["dve/block1/down_group/mean"], gate.mean(), rtol=1e-5)
    spread = gate.std(axis=0).mean()
    np.testing.assert_allclose(listening["dve/block1/down_group/spread"], spread, rtol=1e-4)
    before, after = (f.images["dve/groups"] for f in (found, found_later))
    assert before.shape == after.shape and (before != after).any()


def tower_inputs(inputs):
    return inputs.patches, inputs.patch_mask, inputs.patch_positions


def test_a_static_model_has_no_figures_and_no_picture():
    inputs = random_inputs([[(4, 4)]], SHALLOW)
    found = gate_findings(spread_model(SHALLOW), inputs, DEFAULT_COMPUTE)
    assert not found.figures and not found.images
